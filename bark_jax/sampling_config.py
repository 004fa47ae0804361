"""How each stage samples. Every field takes one value for all rows, or a list with one per row.

What is not given is left to the model, `MODEL`: its own value where its folder has one, else that
of the original's `generate_audio`, `BARK`. Source: suno-ai/bark @f4f32d4, bark/api.py.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from bark_jax.config import TRANSFORMERS, from_dict
from bark_jax.numbers import Allowed, check_allowed, is_finite, is_whole, shown
from bark_jax.numbers import plain as plain_number

T = TypeVar("T")
PerRow = T | Sequence[T]
Rows = Mapping[str, Sequence[Any]]  # field of a stage's sampling -> one value per row
Own = Literal["model"]
MODEL: Own = "model"  # in place of a value: the model's own, value by value and row by row


@dataclasses.dataclass(frozen=True)
class Chain:
    """The processors of one row, in their order; see `bark_jax.processors`."""

    processors: tuple[Any, ...] = ()

    @classmethod
    def of(cls, value: Any) -> "Chain":
        """From processors or their plain data, see `processors.plain`; None is none.

        Raises:
          ValueError: not a list; an unknown processor, or wrong arguments.
        """
        if isinstance(value, cls):
            return value
        if not isinstance(value, list | tuple | None):
            raise ValueError(f"want a list of processors, got {value!r}")
        if not value:
            return cls()
        from bark_jax.processors.plain import processor_of  # the command line need not wait for JAX

        return cls(tuple(map(processor_of, value)))

    def plain(self) -> list[dict[str, Any]]:
        """As data that `of` takes again."""
        if not self.processors:
            return []
        from bark_jax.processors.plain import plain_of

        return list(map(plain_of, self.processors))


def plain(value: Any) -> Any:
    """A sampling value as plain data."""
    return value.plain() if isinstance(value, Chain) else plain_number(value)


def is_models(value: Any) -> bool:
    """Whether a value is left to the model."""
    return isinstance(value, str) and value == MODEL


def _settle(sampling: Any, stage: str) -> None:
    """Makes processors of what was given as such, so that a list of them is not one per row."""
    object.__setattr__(sampling, "processors", _chains(stage, sampling.processors))


def _chains(stage: str, value: Any) -> Chain | Own | list[Chain | Own]:
    """One chain for all rows from a list of processors, one per row from a list of lists."""
    is_rows = isinstance(value, list | tuple) and any(
        isinstance(row, list | tuple | Chain) or is_models(row) for row in value
    )
    try:
        return [_chain(row) for row in value] if is_rows else _chain(value)
    except ValueError as error:
        raise ValueError(f"sampling.{stage}.processors: {error}") from error


def _chain(value: Any) -> Chain | Own:
    return MODEL if is_models(value) else Chain.of(value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SemanticSampling:
    """How semantic tokens are drawn: in effect, what is said and when it ends.

    Every field may also be `"model"`, its default here: the model's own value, or else Bark's.

    Attributes:
      temperature: >= 0; lower is more conservative, 0 always takes the likeliest token; Bark's is
        0.7.
      top_k: keep the k likeliest tokens; None, Bark's, keeps all.
      top_p: keep the likeliest tokens up to this total probability; None, Bark's,
        keeps all.
      min_eos_p: end as soon as the end token's probability reaches this, 0.2 for Bark; None: only
        if it is drawn.
      max_duration_s: of the audio [s]; None, Bark's, is the longest that its context holds.
      allow_early_stop: False runs to the limit; Bark's is True.
      processors: of `bark_jax.processors`, before `top_p` and `top_k`: a list, or one list per row.
    """

    temperature: PerRow[float | Own] = MODEL
    top_k: PerRow[int | Own | None] = MODEL
    top_p: PerRow[float | Own | None] = MODEL
    min_eos_p: PerRow[float | Own | None] = MODEL
    max_duration_s: PerRow[float | Own | None] = MODEL
    allow_early_stop: PerRow[bool | Own] = MODEL
    processors: Any = MODEL

    def __post_init__(self) -> None:
        _settle(self, "semantic")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CoarseSampling:
    """How the codes of the first codebooks are drawn: in effect, how it sounds.

    Attributes:
      temperature: as in `SemanticSampling`.
      top_k: as in `SemanticSampling`.
      top_p: as in `SemanticSampling`.
      processors: as in `SemanticSampling`.
    """

    temperature: PerRow[float | Own] = MODEL
    top_k: PerRow[int | Own | None] = MODEL
    top_p: PerRow[float | Own | None] = MODEL
    processors: Any = MODEL

    def __post_init__(self) -> None:
        _settle(self, "coarse")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FineSampling:
    """How the remaining codes are drawn: in effect, how clean it sounds.

    Attributes:
      temperature: as in `SemanticSampling`; Bark's is 0.5.
      processors: as in `SemanticSampling`.
    """

    temperature: PerRow[float | Own] = MODEL
    processors: Any = MODEL

    def __post_init__(self) -> None:
        _settle(self, "fine")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """Sampling values of all three stages; those that are not given are left to the model.

    >>> SamplingConfig.of({"semantic": {"temperature": [0.5, 0.9]}, "fine": {"temperature": 0}})

    Attributes:
      semantic: values of the semantic stage.
      coarse: values of the coarse stage.
      fine: values of the fine stage.
    """

    semantic: SemanticSampling = SemanticSampling()
    coarse: CoarseSampling = CoarseSampling()
    fine: FineSampling = FineSampling()

    @classmethod
    def of(cls, value: "SamplingConfig | Mapping[str, Any] | None") -> "SamplingConfig":
        """From a config, from (partial) nested plain data; None leaves everything to the model.

        Raises:
          TypeError: `value` is none of these.
          ValueError: an unknown stage or field; named.
        """
        if value is None:
            return cls()
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise TypeError(f"sampling wants a SamplingConfig or a dict, got {shown(value)}")
        try:
            config = from_dict(cls, value)
        except TypeError as error:
            raise ValueError(f"sampling: {error}") from error
        for field in dataclasses.fields(config):
            if not isinstance(stage := getattr(config, field.name), type(field.default)):
                raise ValueError(f"sampling: {field.name} wants a dict of values, got {stage!r}")
        return config

    @classmethod
    def of_rows(cls, rows: Sequence[Mapping[str, Mapping[str, Any]]]) -> "SamplingConfig":
        """One config of the plain values of each row; what a row lacks is left to the model."""
        return cls.of(
            {
                stage.name: {
                    field.name: [row.get(stage.name, {}).get(field.name, MODEL) for row in rows]
                    for field in dataclasses.fields(stage.default)  # pyright: ignore[reportArgumentType]
                }
                for stage in dataclasses.fields(cls)
            }
        )

    def over(self, others: "SamplingConfig") -> "SamplingConfig":
        """These values, with `others` in place of what is left to the model."""
        return SamplingConfig(
            **{stage: _over(getattr(self, stage), getattr(others, stage)) for stage in TRANSFORMERS}
        )

    def per_row(self, n_rows: int) -> dict[str, dict[str, list[Any]]]:
        """Every field of every stage, spread over the rows and checked.

        Raises:
          ValueError: as in `per_row`; a value is still left to the model.
        """
        return {stage: per_row(stage, getattr(self, stage), n_rows) for stage in TRANSFORMERS}

    def plain(self) -> dict[str, dict[str, Any]]:
        """What is given, for one row, checked, as plain data that `of` takes again.

        Raises:
          ValueError: as in `per_row`.
        """
        return {stage: _given(stage, getattr(self, stage)) for stage in TRANSFORMERS}


BARK = SamplingConfig(
    semantic=SemanticSampling(
        temperature=0.7,
        top_k=None,
        top_p=None,
        min_eos_p=0.2,
        max_duration_s=None,
        allow_early_stop=True,
        processors=(),
    ),
    coarse=CoarseSampling(temperature=0.7, top_k=None, top_p=None, processors=()),
    fine=FineSampling(temperature=0.5, processors=()),
)


def _over(values: Any, others: Any) -> Any:
    """One stage of `SamplingConfig.over`."""

    def chosen(value: Any, other: Any) -> Any:
        if isinstance(value, list | tuple):
            return [other if is_models(row) else row for row in value]
        return other if is_models(value) else value

    names = [field.name for field in dataclasses.fields(values)]
    return type(values)(**{n: chosen(getattr(values, n), getattr(others, n)) for n in names})


# times the largest Gumbel noise it must stay a finite float32
TEMPERATURE: Allowed = ("a number in 0 … 1e30", lambda v: is_finite(v) and 0 <= v <= 1e30)
_ALLOWED: dict[str, Allowed] = {
    "temperature": TEMPERATURE,
    "top_k": ("a whole number >= 1, or None", lambda v: is_whole(v) and v >= 1),
    "top_p": ("a number in 0 … 1, or None", lambda v: is_finite(v) and 0 <= v <= 1),
    "min_eos_p": ("a number in 0 … 1, or None", lambda v: is_finite(v) and 0 <= v <= 1),
    "max_duration_s": ("a number >= 0, or None", lambda v: is_finite(v) and v >= 0),
    "allow_early_stop": ("True or False", lambda v: isinstance(v, bool)),
    "processors": ("a list of processors", lambda v: isinstance(v, Chain)),
}


def rows_of(name: str, value: Any, n_rows: int) -> list[Any]:
    """One value per row; a list must have exactly `n_rows` entries."""
    if isinstance(value, str | bytes | bytearray) or not isinstance(value, Sequence):
        return [value] * n_rows
    if len(value) != n_rows:
        raise ValueError(f"{name} has {len(value)} entries, the batch has {n_rows} rows")
    return list(value)


def per_row(stage: str, sampling: Any, n_rows: int) -> dict[str, list[Any]]:
    """Spreads the fields of one stage's sampling over the rows, and checks every value.

    Raises:
      ValueError: a list of the wrong length, or a value outside its range; names the field.
    """
    names = [field.name for field in dataclasses.fields(sampling)]
    return {name: _spread(stage, name, getattr(sampling, name), n_rows) for name in names}


def _given(stage: str, sampling: Any) -> dict[str, Any]:
    """One stage of `SamplingConfig.plain`."""
    values = {field.name: getattr(sampling, field.name) for field in dataclasses.fields(sampling)}
    return {
        name: plain(_spread(stage, name, value, 1)[0])
        for name, value in values.items()
        if not is_models(value)
    }


def _spread(stage: str, field: str, value: Any, n_rows: int) -> list[Any]:
    name = f"sampling.{stage}.{field}"
    spread = rows_of(name, plain_number(value), n_rows)
    for each in spread:
        check_allowed(name, each, _ALLOWED[field])
    return spread


def of_record(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every value that a record was made with: what it leaves out, see `recorded`, is Bark's.

    Raises:
      ValueError: as in `SamplingConfig.of` and `per_row`.
    """
    return SamplingConfig.of(values).over(BARK).plain()


def recorded(sampling: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Values of one row as plain data for the record: `processors` only where there are some."""
    return {
        stage: {
            name: settled
            for name, value in fields.items()
            if (settled := plain(value)) or name != "processors"
        }
        for stage, fields in sampling.items()
    }
