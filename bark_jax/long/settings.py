"""How a long text is spoken: its voice over time, its checks, and how its pieces are joined."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from bark_jax.config import from_dict
from bark_jax.long.languages import LANGUAGES
from bark_jax.numbers import COUNT, Allowed, check_allowed, is_finite, plain
from bark_jax.sampling_config import SamplingConfig

MODES = ("anchor", "carry", "reanchor")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LongSettings:
    """What determines a long text's audio, beside the model, voice, seed and sampling."""

    mode: str = "anchor"  # the history of a piece: the voice; the piece before; that, renewed
    reanchor_every: int = 8  # pieces from one renewal to the next
    language: str | None = None  # of `LANGUAGES`; None: guessed
    merge: bool = True  # short sentences with their neighbours
    letters_per_s: float | None = None  # the speaking rate; None: learnt from the first pieces
    budget: float | None = 2.0  # greatest length of a piece, in estimated lengths; None: none
    tries: int = 3  # of a piece that fails a check
    recognizer: str | None = None  # that checks words, see `evaluation/recognizer.py`
    judge: str | None = None  # that marks every try, see `evaluation/judges.py`
    least_mark: float | None = None  # below it is a fault; None: all tries are made, the best taken
    trim: bool = True  # silence before and after each piece
    pause_s: float = 0.25  # between pieces of one speaker
    speaker_pause_s: float = 0.5  # between pieces of two
    crossfade_s: float = 0.01  # fades at both ends of a piece; overlap where there is no pause
    loudness_lufs: float | None = -20.0  # of each piece; None: as the model gives it

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = plain(getattr(self, field.name))
            check_allowed(f"settings.{field.name}", value, _ALLOWED[field.name])

    @classmethod
    def of(cls, value: "LongSettings | Mapping[str, Any] | str | None") -> "LongSettings":
        """From settings, from plain data, from the name of a preset, or the defaults from None."""
        if value is None:
            return cls()
        if isinstance(value, cls):
            return value
        if isinstance(value, str):
            return cls(**_preset(value)["settings"])
        if not isinstance(value, Mapping):
            raise TypeError(f"settings want a LongSettings, a dict or a name, got {value!r}")
        try:
            return from_dict(cls, value)
        except TypeError as error:
            raise ValueError(f"settings: {error}") from error


def preset_sampling(settings: object) -> SamplingConfig:
    """The sampling of a preset, if `settings` names one."""
    return SamplingConfig.of(_preset(settings)["sampling"] if isinstance(settings, str) else None)


def _preset(name: str) -> Mapping[str, Any]:
    if name not in PRESETS:
        raise ValueError(f"settings={name!r} is not one of {sorted(PRESETS)}")
    return PRESETS[name]


def _at_least(least: float) -> Callable[[Any], bool]:
    return lambda value: is_finite(value) and value >= least


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


# The "advanced" recipe of the original's notebook long_form_generation: each sentence by itself
# with one voice, and a quarter of a second of silence after it.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "notebook": {
        "settings": {
            "merge": False, "budget": None, "tries": 1, "trim": False, "pause_s": 0.25,
            "crossfade_s": 0.0, "loudness_lufs": None,
        },
        "sampling": {"semantic": {"temperature": 0.6, "min_eos_p": 0.05}},
    }
}  # fmt: skip
_ALLOWED: Mapping[str, Allowed] = {
    "mode": (f"one of {MODES}", lambda v: v in MODES),
    "reanchor_every": COUNT,
    "language": (f"one of {LANGUAGES}, or None", lambda v: v in LANGUAGES),
    "merge": ("True or False", _is_bool),
    "letters_per_s": ("a number >= 1, or None", _at_least(1)),
    "budget": ("a number >= 1, or None", _at_least(1)),
    "tries": COUNT,
    "recognizer": ("a name, or None", lambda v: isinstance(v, str)),
    "judge": ("a name, or None", lambda v: isinstance(v, str)),
    "least_mark": ("a number, or None", is_finite),
    "trim": ("True or False", _is_bool),
    "pause_s": ("a number >= 0", _at_least(0)),
    "speaker_pause_s": ("a number >= 0", _at_least(0)),
    "crossfade_s": ("a number >= 0", _at_least(0)),
    "loudness_lufs": ("a number in -70 … 0, or None", lambda v: is_finite(v) and -70 <= v <= 0),
}
