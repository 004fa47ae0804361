"""What one point of a sweep is: the schema of configs/generate.yaml, and the key of its results."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bark_jax.config import DTYPES, WEIGHTS
from bark_jax.guidance import others_of
from bark_jax.sampling_config import SamplingConfig, recorded
from bark_jax.tracking import TrackingSettings

RUNS = ("sweep", "point")
KEY_LENGTH = 12  # hexadecimal digits: a collision among a million points has p = 0.002


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Arguments of `Bark.from_pretrained`. Points that share them can share a batch."""

    source: str = "nano"
    dtype: str | None = None
    weights: str | None = None
    revision: str | None = None
    local_files_only: bool = False
    offload: bool = False
    stages: tuple[str, ...] = ()  # in place of Bark's, as "coarse=module:Class"

    def __post_init__(self) -> None:
        if self.dtype not in (None, *DTYPES):
            raise ValueError(f"model.dtype={self.dtype!r}, want null or one of {DTYPES}")
        if self.weights not in (None, *WEIGHTS):
            raise ValueError(f"model.weights={self.weights!r}, want null or one of {WEIGHTS}")

    def plain(self) -> dict[str, Any]:
        """As plain data; later fields only where they are given, as earlier keys lack them."""
        fields = dataclasses.asdict(self)
        return {k: v for k, v in fields.items() if v or k not in ("weights", "stages")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PromptSettings:
    text: Any = ()  # one text, or a list: the sweeper makes a point for each


@dataclasses.dataclass(frozen=True, kw_only=True)
class VoiceSettings:
    name: Any = None  # one voice, or a list: the sweeper makes a point for each


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetricsSettings:
    """What is measured besides the metrics that cost next to nothing."""

    f0: bool = True  # 0.15 s of work per second of audio
    wer: str | None = None  # a recogniser, see evaluation/recognizer.py
    entropy: bool = False  # of the sampling distributions; a scoring pass over the tokens
    score: bool = False  # log-probabilities under the models themselves; such a pass, fine included
    judges: tuple[str, ...] = ()  # names, see evaluation/judges.py

    def asked(self) -> dict[str, Any]:
        """As plain data; what earlier results lack in their keys only where it is asked for."""
        fields = dataclasses.asdict(self)
        newer = ("score", "judges")
        return {name: value for name, value in fields.items() if value or name not in newer}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepTrackingSettings(TrackingSettings):
    runs: str = "sweep"  # one run with a table of all points, or one run per "point"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.runs not in RUNS:
            raise ValueError(f"tracking.runs={self.runs!r} is not one of {RUNS}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PointSettings:
    """One generation and what is recorded about it."""

    model: ModelSettings = ModelSettings()
    prompts: PromptSettings = PromptSettings()
    voices: VoiceSettings = VoiceSettings()
    seed: int = 0
    sampling: dict[str, Any] = dataclasses.field(default_factory=dict)
    guidance: dict[str, Any] = dataclasses.field(default_factory=dict)  # {}: none
    metrics: MetricsSettings = MetricsSettings()
    tracking: SweepTrackingSettings = SweepTrackingSettings()

    def __post_init__(self) -> None:
        is_whole = isinstance(self.seed, int) and not isinstance(self.seed, bool)
        if not is_whole or not 0 <= self.seed < 2**64:
            raise ValueError(
                f"seed={self.seed!r} is not allowed; want a whole number in 0 … 2**64-1"
            )
        if not isinstance(self.text, str) or not self.text.strip():
            raise ValueError(f"prompts.text={self.text!r} is not text")
        if self.voice is not None and not isinstance(self.voice, str):
            raise ValueError(f"voices.name={self.voice!r} is neither null, a name nor a path")
        SamplingConfig.of(self.sampling).plain()
        others_of(self.guidance or None, 1)

    @property
    def text(self) -> str:
        return _only("prompts.text", self.prompts.text)

    @property
    def voice(self) -> str | None:
        return _only("voices.name", self.voices.name)

    def settled(self, own: SamplingConfig) -> "PointSettings":
        """The point with a model's own sampling in place of what is left to it."""
        values = SamplingConfig.of(self.sampling).over(own).plain()
        return dataclasses.replace(self, sampling=values)

    def sampling_values(self) -> dict[str, dict[str, Any]]:
        """What is given, checked: of a settled point every field of every stage.

        Numbers have one form, so that 1 and 1.0 are equal.
        """
        return _canonical(SamplingConfig.of(self.sampling).plain())

    def key(self) -> str:
        """The name of a settled point's results: it changes with everything that changes them."""
        content = {
            "model": {**self.model.plain(), "files": self._model_stamp()},
            "text": self.text,
            "voice": self.voice,
            "voice_file": _stamp(self.voice) if self.voice else None,
            "seed": self.seed,
            "sampling": recorded(self.sampling_values()),
            "metrics": self.metrics.asked(),
        }
        if self.guidance:  # as keys of earlier results lack it
            content["guidance"] = _canonical(self.guidance)
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
        return digest.hexdigest()[:KEY_LENGTH]

    def _model_stamp(self) -> str | None:
        """The name "nano" is always the model inside the package, never a file of that name."""
        return None if self.model.source == "nano" else _stamp(self.model.source)

    def flat(self) -> dict[str, Any]:
        """Dotted names to plain values: the columns of a table."""
        values = recorded(self.sampling_values())
        return {
            "prompts.text": self.text,
            "voices.name": self.voice,
            "seed": self.seed,
            **{f"sampling.{name}": value for name, value in _flatten(values)},
            **{f"guidance.{name}": value for name, value in self.guidance.items()},
            **{f"model.{k}": v for k, v in self.model.plain().items()},
        }


def _only(name: str, value: Any) -> Any:
    """The one entry of a list, or the value itself."""
    if not isinstance(value, list | tuple):
        return value
    if len(value) != 1:
        raise ValueError(f"{name} has {len(value)} entries, one point has one")
    return value[0]


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _canonical(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_canonical(inner) for inner in value]
    is_whole = isinstance(value, float) and math.isfinite(value) and value == int(value)
    return int(value) if is_whole else value


def _flatten(nested: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Any]]:
    return [(f"{a}.{b}", value) for a, inner in nested.items() for b, value in inner.items()]


def _stamp(source: str) -> str | None:
    """A hash that changes when a file or directory is rewritten; None if there is none."""
    path = Path(source).expanduser()
    if not path.exists():
        return None
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    stats = [
        (file.relative_to(path).as_posix(), file.stat().st_size, file.stat().st_mtime_ns)
        for file in files
        if file.is_file()
    ]
    return hashlib.sha256(repr(stats).encode()).hexdigest()[:KEY_LENGTH]
