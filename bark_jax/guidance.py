"""What a row is guided away from, as users say it."""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from bark_jax.config import from_dict
from bark_jax.numbers import Allowed, check_allowed, is_finite, plain, shown
from bark_jax.sampling_config import PerRow, rows_of
from bark_jax.voices import UNNAMED, voice_name

SCALE: Allowed = ("a number in -1000 … 1000", lambda v: is_finite(v) and abs(v) <= 1000)


class Same(enum.Enum):
    """Stands for what the row itself has."""

    SAME = "the row's own"


SAME = Same.SAME


@dataclasses.dataclass(frozen=True, kw_only=True)
class Guidance:
    """Draws tokens as if a row's condition were stronger, or weaker, than it is.

    Every token is drawn from `other + scale (own - other)`, where `own` are the logits of the row
    as it is and `other` those of a second condition. Above 1 what tells the two apart is
    exaggerated; 1 is the row itself, 0 the other condition. `text` changes what the semantic stage
    reads, `voice` what the semantic and the coarse stage read, `model` which models read the other
    condition in both. The fine stage is never guided.

    >>> Guidance(text="", scale=1.5)  # closer to the text
    >>> Guidance(voice=None, scale=2)  # more like the voice, against none
    >>> Guidance(model=small, scale=1.3)  # what the large model has learnt beyond the small one

    Attributes:
      text: of the other condition; "" is none.
      voice: of the other condition, as in `Bark.generate`; None is none.
      model: a `Bark` with the same token layout and vocabulary; None is the model itself. One for
        all rows.
      scale: -1000 … 1000; one value, or one per row, as are `text` and `voice`.
    """

    text: PerRow[str] | Same = SAME
    voice: Any = SAME
    model: Any = None
    scale: PerRow[float] = 1.0

    @classmethod
    def of(cls, value: "Guidance | Mapping[str, Any]") -> "Guidance":
        """From one, or from plain data such as `{"text": "", "scale": 1.5}`.

        Raises:
          ValueError: an unknown field, a scale that is not allowed, or no other condition.
        """
        if isinstance(value, Mapping):
            try:
                value = from_dict(cls, value)
            except TypeError as error:
                raise ValueError(f"guidance: {error}") from error
        if not isinstance(value, cls):
            raise ValueError(f"guidance wants a Guidance, a dict or None, got {shown(value)}")
        if value.text is SAME and value.voice is SAME and value.model is None:
            raise ValueError("guidance names no other condition: want text, voice or model")
        return value


@dataclasses.dataclass(frozen=True, eq=False)
class Other:
    """The other condition of one row."""

    text: Any  # SAME, or a text
    voice: Any  # SAME, or as given; `Batch.with_voices` resolves it
    model: Any
    scale: float
    record: dict[str, Any]  # plain data for `Guidance.of`, as far as it can be

    def differs(self, stage: str) -> bool:
        """Whether it is another condition to this stage."""
        if stage not in ("semantic", "coarse"):
            return False
        is_other_text = self.text is not SAME and stage == "semantic"
        return is_other_text or self.voice is not SAME or self.model is not None


def recorded_guidance(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `Batch.settings` recorded of a row, as plain data for `Guidance.of`.

    Raises:
      ValueError: it was given as an object, of which the record keeps only the name.
    """
    record = settings.get("guidance")
    if record is not None and "model" in record:
        raise ValueError("it was guided by a second model, of which only the name is recorded")
    if record is not None and record.get("voice") in UNNAMED:
        raise ValueError(f"it was guided by a voice without a name, a {record['voice']}")
    return record


def guidance_lengths(guidance: Any) -> dict[str, int]:
    """The lengths of what is given per row, by argument."""
    if isinstance(guidance, list | tuple):
        return {"guidance": len(guidance)}
    if guidance is None:
        return {}
    own = Guidance.of(guidance)
    return {
        f"guidance.{name}": len(value)
        for name in ("text", "voice", "scale")
        if isinstance(value := plain(getattr(own, name)), list | tuple)
    }


def others_of(guidance: Any, n_rows: int) -> "list[Other | None]":
    """The other condition of every row; None for a row that is not guided.

    Raises:
      ValueError: as `Guidance.of`; lists of the wrong length, or rows with different models.
    """
    if guidance is None:
        return [None] * n_rows
    others: list[Other | None] = []
    if isinstance(guidance, list | tuple):
        for value in rows_of("guidance", guidance, n_rows):
            others += [None] if value is None else _spread(Guidance.of(value), 1)
    else:
        others += _spread(Guidance.of(guidance), n_rows)
    models = {id(other.model): other.model for other in others if other is not None}
    if len(models) > 1:
        raise ValueError("guidance.model differs between the rows: want one for all")
    return others


def _spread(guidance: Guidance, n_rows: int) -> list[Other]:
    texts, voices, scales = (
        rows_of(f"guidance.{name}", plain(getattr(guidance, name)), n_rows)
        for name in ("text", "voice", "scale")
    )
    if guidance.model is not None and not hasattr(guidance.model, "runner"):
        raise ValueError(f"guidance.model={shown(guidance.model)} is no Bark")
    for text, scale in zip(texts, scales, strict=True):
        check_allowed("guidance.scale", scale, SCALE)
        if text is not SAME and not isinstance(text, str):
            raise ValueError(f"guidance.text={shown(text)} is not allowed; want a text")
    return [
        Other(text, voice, guidance.model, scale, _record(text, voice, guidance.model, scale))
        for text, voice, scale in zip(texts, voices, scales, strict=True)
    ]


def _record(text: Any, voice: Any, model: Any, scale: float) -> dict[str, Any]:
    record: dict[str, Any] = {"scale": scale}
    if text is not SAME:
        record["text"] = text
    if voice is not SAME:
        record["voice"] = voice_name(voice)
    if model is not None:
        record["model"] = dict(model.runner.origin) or repr(model)
    return record
