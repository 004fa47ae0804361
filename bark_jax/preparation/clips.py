"""Recordings to clips: one channel at the codec's sample rate, silence cut off at both ends.

Runs in worker processes, so nothing here imports JAX.
"""

import dataclasses
from pathlib import Path

import numpy as np

# A recording that is far too long is not read at all: it might not fit into memory.
MOST_TRIMMED = 10.0  # times the longest clip
WINDOW_S = 0.04  # over which loudness is measured


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipSettings:
    """What a clip must be like."""

    sample_rate: int  # of the clip [Hz]
    min_s: float = 0.1
    max_s: float = 15.0
    trim_db: float | None = 40.0  # silence is what is this much softer than the loudest part
    margin_s: float = 0.1  # of the silence that stays at both ends

    def __post_init__(self) -> None:
        if not 0 < self.min_s <= self.max_s:
            raise ValueError(f"min_s={self.min_s}, max_s={self.max_s}: want 0 < min_s <= max_s")
        if self.trim_db is not None and self.trim_db <= 0:
            raise ValueError(f"trim_db={self.trim_db}, want more than 0, or null for no trimming")
        if self.margin_s < 0:
            raise ValueError(f"margin_s={self.margin_s} is less than 0")


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """Part of a recording."""

    audio: np.ndarray  # (S,) float32
    begin_s: float  # where it begins in the recording


def read_clip(path: Path, settings: ClipSettings) -> Clip:
    """Reads any format of libsndfile (WAV, FLAC, OGG, MP3 …), any rate and number of channels.

    Raises:
      OSError: the file cannot be read.
      ValueError: it is not audio, silent, not finite, too short or too long; says which.
    """
    import soxr

    audio, rate = _read_mono(path, settings.max_s * MOST_TRIMMED)
    if not np.isfinite(audio).all():
        raise ValueError("some samples are not finite")
    if not audio.any():
        raise ValueError("it is silent")
    resampled = soxr.resample(audio, rate, settings.sample_rate, quality="HQ").astype(np.float32)
    begin, end = _loud_part(resampled, settings)
    duration_s = (end - begin) / settings.sample_rate
    if not settings.min_s <= duration_s <= settings.max_s:
        raise ValueError(
            f"it lasts {duration_s:.2f} s, want {settings.min_s:g} … {settings.max_s:g} s"
        )
    return Clip(resampled[begin:end].copy(), begin / settings.sample_rate)


def _read_mono(path: Path, max_s: float) -> tuple[np.ndarray, int]:
    """Samples (S,) float32 and their rate [Hz]."""
    import soundfile

    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file")
    try:
        with soundfile.SoundFile(path) as file:
            if (duration_s := file.frames / file.samplerate) > max_s:
                raise ValueError(f"the recording lasts {duration_s:.0f} s; cut it into utterances")
            samples = file.read(dtype="float32", always_2d=True)
            return samples.mean(axis=1), file.samplerate
    except soundfile.LibsndfileError as error:
        raise ValueError(f"it is not audio that libsndfile can read: {error}") from error


def _loud_part(audio: np.ndarray, settings: ClipSettings) -> tuple[int, int]:
    """First and last + 1 sample to keep."""
    import librosa

    if settings.trim_db is None:
        return 0, len(audio)
    frame = max(2, round(WINDOW_S * settings.sample_rate))
    _, (begin, end) = librosa.effects.trim(
        audio, top_db=settings.trim_db, frame_length=frame, hop_length=max(1, frame // 4)
    )
    margin = round(settings.margin_s * settings.sample_rate)
    return max(0, int(begin) - margin), min(len(audio), int(end) + margin)
