"""Makes a batch of arguments that are one value for all rows, or a list with one per row."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bark_jax.guidance import SAME, Other, guidance_lengths, others_of
from bark_jax.numbers import is_whole, plain, shown
from bark_jax.sampling_config import Rows, SamplingConfig, recorded, rows_of
from bark_jax.voices import voice_name
from bark_jax.watching import Look, OnBlock, Watch

if TYPE_CHECKING:  # they need JAX, which a batch file is read without
    from bark_jax.hooks.edits import RowEdits
    from bark_jax.hooks.tap import Hooks


@dataclasses.dataclass(frozen=True)
class Batch:
    """Arguments of a call, spread over its rows."""

    n_rows: int
    is_list: bool  # whether any argument was a list, so that results are one
    texts: list[str]
    data: list[Any]  # input arrays of a stage that is called by itself
    voices: list[Any]  # as given; `with_voices` resolves them
    voice_names: list[str | None]  # for the record
    seeds: list[int]
    sampling: Mapping[str, Rows]  # by stage
    others: list[Other | None]  # what each row is guided away from
    edits: "list[RowEdits]"
    trace: tuple[str, ...] = ()  # names of what is kept
    watch: Watch | None = None  # who is told of the rows while they are made

    @classmethod
    def of(
        cls,
        *,
        voice: Any,
        seed: Any,
        sampling: SamplingConfig,
        text: Any = None,
        guidance: Any = None,
        on_block: OnBlock | None = None,
        data: tuple[list[Any], bool] = ([], False),
        edits: "RowEdits | list[RowEdits] | None" = None,
        trace: tuple[str, ...] = (),
    ) -> "Batch":
        """Takes the number of rows from the arguments that are lists.

        Raises:
          ValueError: lists of different lengths, an empty list, a seed that is not an integer in
            [0, 2**64), or a sampling value outside its range; names the argument.
        """
        if on_block is not None and not callable(on_block):
            raise ValueError(f"on_block={shown(on_block)} cannot be called")
        seed = plain(seed)
        arrays, is_batch = data
        lengths = {
            name: len(value)
            for name, value in (("text", text), ("voice", voice), ("seed", seed), ("edits", edits))
            if isinstance(value, list | tuple)
        }
        lengths |= _sampling_lengths(sampling) | guidance_lengths(guidance)
        if is_batch:
            lengths["rows"] = len(arrays)
        if len(set(lengths.values())) > 1 or 0 in lengths.values():
            raise ValueError(f"lists want one entry per row and equal lengths, got {lengths}")
        n_rows = next(iter(lengths.values()), 1)
        return cls(
            n_rows,
            bool(lengths),
            rows_of("text", text, n_rows),
            arrays if is_batch else arrays * n_rows,
            (voices := rows_of("voice", voice, n_rows)),
            [voice_name(voice) for voice in voices],
            seeds_of(seed, n_rows),
            sampling.per_row(n_rows),
            others_of(guidance, n_rows),
            rows_of("edits", edits or {}, n_rows),
            trace,
            on_block and Watch(on_block, range(n_rows)),
        )

    def hooks(self, stage: str) -> "Hooks":
        """Edits and names of what is kept, of one stage."""
        from bark_jax.hooks.tap import Hooks

        return Hooks.of(stage, self.edits, self.trace)

    def noise(self, noise: Any) -> list[np.ndarray] | None:
        """Injected noise as a list of one array per row."""
        if noise is None:
            return None
        return [np.asarray(row) for row in noise] if self.is_list else [np.asarray(noise)]

    def with_voices(self, resolve: Callable[[Any], Any]) -> "Batch":
        """The batch with `resolve(voice)` in place of every voice; each is resolved once."""
        known: dict[int, Any] = {}

        def resolved(voice: Any) -> Any:
            if voice is not SAME and id(voice) not in known:
                known[id(voice)] = resolve(voice)
            return known.get(id(voice), voice)

        others = [o and dataclasses.replace(o, voice=resolved(o.voice)) for o in self.others]
        voices = [resolved(voice) for voice in self.voices]
        return dataclasses.replace(self, voices=voices, others=others)

    def take(self, rows: Sequence[int]) -> "Batch":
        """The batch of these rows only."""
        return dataclasses.replace(
            self,
            n_rows=len(rows),
            is_list=True,
            texts=[self.texts[i] for i in rows],
            voices=[self.voices[i] for i in rows],
            voice_names=[self.voice_names[i] for i in rows],
            seeds=[self.seeds[i] for i in rows],
            sampling={
                stage: {name: [values[i] for i in rows] for name, values in fields.items()}
                for stage, fields in self.sampling.items()
            },
            others=[self.others[i] for i in rows],
            edits=[self.edits[i] for i in rows],
            watch=self.watch and self.watch.take(rows),
        )

    def look(self, stage: str) -> Look | None:
        """What a stage calls between blocks of steps, if anybody wants to know."""
        return self.watch and self.watch.looks_at(stage)

    def going_on(self, made: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What a stage has made of each row, for the next one: nothing of cancelled rows."""
        return [row[..., :0] if self.is_cancelled(i) else row for i, row in enumerate(made)]

    def is_cancelled(self, row: int) -> bool:
        """Whether who is told of the rows has ended this one."""
        return self.watch is not None and self.watch.is_cancelled(row)

    def settings(self, row: int) -> dict[str, Any]:
        """Voice, sampling values, guidance and kinds of edits of one row, as plain data."""
        sampling = {
            stage: {name: values[row] for name, values in fields.items()}
            for stage, fields in self.sampling.items()
        }
        settings = {"voice": self.voice_names[row], "sampling": recorded(sampling)}
        if (other := self.others[row]) is not None:
            settings["guidance"] = other.record
        if self.edits[row]:
            edits = self.edits[row].items()
            settings["edits"] = {name: [type(e).__name__ for e in own] for name, own in edits}
        return settings


def seeds_of(seed: Any, n_rows: int) -> list[int]:
    """One seed per row; ValueError where one is not a whole number in [0, 2**64)."""
    seeds = rows_of("seed", plain(seed), n_rows)
    for value in seeds:
        if not is_whole(value) or not 0 <= value < 2**64:
            raise ValueError(
                f"seed={shown(value)} is not allowed; want a whole number in 0 … 2**64 - 1"
            )
    return seeds


def as_rows(name: str, value: Any, ndim: int) -> tuple[list[Any], bool]:
    """The rows of `value`, arrays of `ndim` axes, and whether it was a batch of them."""
    try:
        if isinstance(value, list | tuple) and any(np.ndim(row) == ndim for row in value):
            return list(value), True
        axes = np.ndim(value)
    except ValueError as error:  # lists of different lengths
        raise ValueError(f"{name} is no array: {error}") from None
    if axes == ndim + 1:
        return list(np.asarray(value)), True
    if axes != ndim:
        raise ValueError(f"{name} has {axes} axes, want {ndim} (or a list of such arrays)")
    return [value], False


def _sampling_lengths(sampling: SamplingConfig) -> dict[str, int]:
    return {
        f"sampling.{stage.name}.{field.name}": len(value)
        for stage in dataclasses.fields(sampling)
        for field in dataclasses.fields(getattr(sampling, stage.name))
        if isinstance(value := getattr(getattr(sampling, stage.name), field.name), Sequence)
    }
