"""Pieces to one recording: trimmed, levelled, with pauses between, never held as a whole."""

import dataclasses

import numpy as np

from bark_jax.long.settings import LongSettings
from bark_jax.sound import loudness, sounding_spans

MARGIN_S = 0.05  # of silence left by trimming: soft beginnings and ends of words
PEAK = 10 ** (-1 / 20)  # -1 dBFS, which levelling does not exceed
MOST_GAIN_DB = 20.0  # more would lift noise


@dataclasses.dataclass(frozen=True)
class Finished:
    """A piece as it goes into the recording."""

    audio: np.ndarray  # (S,) float32
    trimmed_s: tuple[float, float]  # taken off before and after
    gain_db: float


def finish(audio: np.ndarray, sample_rate: int, settings: LongSettings) -> Finished:
    """Trims, levels and fades one piece."""
    trimmed, before_s, after_s = _trim(audio, sample_rate) if settings.trim else (audio, 0.0, 0.0)
    gain_db = _gain_db(trimmed, sample_rate, settings.loudness_lufs)
    finished = trimmed * np.float32(10 ** (gain_db / 20))
    n_fade = min(round(settings.crossfade_s * sample_rate), len(finished) // 2)
    if n_fade:
        rise = ((np.arange(n_fade) + 0.5) / n_fade).astype(np.float32)
        finished[:n_fade] *= rise
        finished[-n_fade:] *= rise[::-1]
    return Finished(finished, (before_s, after_s), gain_db)


def _trim(audio: np.ndarray, sample_rate: int) -> tuple[np.ndarray, float, float]:
    """The audio without silence at its ends, and the seconds taken off there."""
    spans = sounding_spans(audio, sample_rate)
    if not spans:
        return audio[:0], len(audio) / sample_rate, 0.0
    begin = max(0, round((spans[0][0] - MARGIN_S) * sample_rate))
    end = min(len(audio), round((spans[-1][1] + MARGIN_S) * sample_rate))
    return audio[begin:end], begin / sample_rate, (len(audio) - end) / sample_rate


def _gain_db(audio: np.ndarray, sample_rate: int, target_lufs: float | None) -> float:
    found = None if target_lufs is None else loudness(audio, sample_rate)
    if target_lufs is None or found is None:
        return 0.0
    gain_db = float(np.clip(target_lufs - found, -MOST_GAIN_DB, MOST_GAIN_DB))
    room_db = 20 * float(np.log10(PEAK / np.abs(audio).max()))
    return min(gain_db, max(room_db, 0.0)) if gain_db > 0 else gain_db


class Joiner:
    """Appends pieces and gives the samples that are final; only an overlap waits."""

    def __init__(self, sample_rate: int, settings: LongSettings) -> None:
        self._rate = sample_rate
        self._settings = settings
        self.tail = np.zeros(0, np.float32)  # into which the next piece may be faded
        self.n_samples = 0  # given out
        self.speaker: str | None = None
        self.is_empty = True

    def append(self, audio: np.ndarray, speaker: str | None) -> tuple[np.ndarray, int]:
        """Samples that are final now (S,), and the sample of the recording where the piece begins.

        Args:
          audio: a finished piece (S,); may be empty.
          speaker: who says it; a change makes the pause longer.
        """
        pause_s = self._settings.pause_s
        if speaker != self.speaker:
            pause_s = self._settings.speaker_pause_s
        n_pause = 0 if self.is_empty or not len(audio) else round(pause_s * self._rate)
        pause = np.zeros(n_pause, np.float32)
        n_overlap = 0 if n_pause else min(len(self.tail), len(audio))
        begin = self.n_samples + len(self.tail) + n_pause - n_overlap
        joined = np.concatenate([self.tail, pause, audio[n_overlap:]])
        if n_overlap:
            joined[len(self.tail) - n_overlap : len(self.tail)] += audio[:n_overlap]
        if len(audio):
            self.speaker, self.is_empty = speaker, False
        n_kept = min(round(self._settings.crossfade_s * self._rate), len(joined))
        final, self.tail = np.split(joined, [len(joined) - n_kept])
        self.n_samples += len(final)
        return final, begin

    def close(self) -> np.ndarray:
        """The samples that are left (S,)."""
        rest, self.tail = self.tail, self.tail[:0]
        self.n_samples += len(rest)
        return rest
