"""Where a recording sounds, how loud it is, and its samples at another rate."""

import math

import numpy as np

FRAME_S, HOP_S = 0.04, 0.01  # over which the level is measured
SILENT_BELOW_DB = 40.0  # under the loudest frame
SILENT_LEVEL = 1e-3  # RMS [-60 dBFS]; anything below is silence, however loud the rest
MIN_PAUSE_S = 0.1  # shorter gaps are parts of words
MIN_LOUDNESS_S = 0.4  # one block of BS.1770


def resampled(audio: np.ndarray, sample_rate: int, wanted_hz: int) -> np.ndarray:
    """Audio (S,) float32 at the rate that is wanted; needs soxr, which several extras bring.

    Raises:
      ValueError: it has more than one axis.
    """
    import soxr

    audio = np.asarray(audio, np.float32)
    if audio.ndim != 1:
        raise ValueError(f"audio has shape {audio.shape}, want (S,)")
    return soxr.resample(audio, sample_rate, wanted_hz) if sample_rate != wanted_hz else audio


def loudness(audio: np.ndarray, sample_rate: int) -> float | None:
    """Integrated loudness [LUFS] by ITU-R BS.1770-4; None if the audio is silent or too short."""
    import pyloudnorm

    if len(audio) < MIN_LOUDNESS_S * sample_rate:
        return None
    with np.errstate(divide="ignore"):  # the logarithm of silence
        found = pyloudnorm.Meter(sample_rate).integrated_loudness(audio.astype(np.float64))
    return float(found) if math.isfinite(found) else None


def sounding_spans(audio: np.ndarray, sample_rate: int) -> list[tuple[float, float]]:
    """Begin and end [s] of the parts with sound; pauses under `MIN_PAUSE_S` are bridged."""
    hop = round(HOP_S * sample_rate)
    rms_T = _levels(audio, round(FRAME_S * sample_rate), hop)
    if not len(rms_T) or rms_T.max() < SILENT_LEVEL:
        return []
    is_sound_T = rms_T > rms_T.max() * 10 ** (-SILENT_BELOW_DB / 20)
    edges = np.flatnonzero(np.diff(is_sound_T, prepend=False, append=False)) * hop
    spans: list[tuple[float, float]] = []
    for begin, end in np.minimum(edges, len(audio)).reshape(-1, 2) / sample_rate:
        if spans and begin - spans[-1][1] < MIN_PAUSE_S:
            begin = spans.pop()[0]
        spans.append((float(begin), float(end)))
    return spans


def _levels(audio: np.ndarray, frame: int, hop: int) -> np.ndarray:
    """RMS of frames around every `hop`-th sample (T,); there is silence outside the audio."""
    if not len(audio):
        return np.zeros(0)
    padded = np.pad(np.asarray(audio, np.float64), (frame // 2, frame - frame // 2))
    energy = np.concatenate([[0.0], np.cumsum(padded**2)])
    begins = np.arange(0, len(audio) + 1, hop)
    return np.sqrt(np.maximum(energy[begins + frame] - energy[begins], 0) / frame)
