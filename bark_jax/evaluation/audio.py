"""Metrics of a recording that do not depend on its words."""

import itertools
from typing import Any

import numpy as np

from bark_jax.evaluation.pitch import pitch_of
from bark_jax.sound import HOP_S, loudness, sounding_spans


def audio_metrics(audio: np.ndarray, sample_rate: int, *, with_pitch: bool = True) -> dict:
    """Duration, loudness, clipping, silence, flatness and pitch of one recording.

    Args:
      audio: (S,) float in -1 … 1; S may be 0.
      sample_rate: of the audio [Hz].
      with_pitch: measures pitch too, which takes most of the time.
    Returns:
      Plain numbers by name, None where there is nothing to measure. Seconds end in `_s`, shares
      of the whole in `_share`.
    """
    audio = np.asarray(audio, np.float32)
    spans = sounding_spans(audio, sample_rate)
    metrics: dict[str, Any] = {
        "duration_s": len(audio) / sample_rate,
        "loudness_lufs": loudness(audio, sample_rate),
        "peak": float(np.abs(audio).max()) if len(audio) else None,
        "clipped_share": float((np.abs(audio) >= 1).mean()) if len(audio) else None,
        **silence(spans, len(audio) / sample_rate),
        "spectral_flatness": spectral_flatness(audio, spans, sample_rate),
    }
    if with_pitch:
        pitch = pitch_of(audio, sample_rate)
        metrics |= {
            "f0_median_hz": pitch.median_hz,
            "f0_low_hz": pitch.low_hz,
            "f0_high_hz": pitch.high_hz,
            "voiced_share": pitch.voiced_share,
        }
    return metrics


def silence(spans: list[tuple[float, float]], duration_s: float) -> dict[str, float]:
    """Silence before, after and between spans; all of it is leading where there are none."""
    if not spans:
        return {"leading_silence_s": duration_s, "trailing_silence_s": 0.0, "inner_silence_s": 0.0}
    gaps = [after[0] - before[1] for before, after in itertools.pairwise(spans)]
    return {
        "leading_silence_s": spans[0][0],
        "trailing_silence_s": duration_s - spans[-1][1],
        "inner_silence_s": float(sum(gaps)),
    }


def spectral_flatness(
    audio: np.ndarray, spans: list[tuple[float, float]], sample_rate: int
) -> float | None:
    """Mean over sounding frames: near 0 for a tone, about 0.56 for white noise."""
    import librosa

    hop = round(HOP_S * sample_rate)
    parts = [audio[round(a * sample_rate) : round(b * sample_rate)] for a, b in spans]
    sounding = np.concatenate(parts) if parts else audio[:0]
    if len(sounding) < 1024:
        return None
    # Frames lie inside the signal: padding at its ends would be taken for a tone.
    flat = librosa.feature.spectral_flatness(y=sounding, n_fft=1024, hop_length=hop, center=False)
    return float(flat.mean())


def speaking_rate(text: str, spans_s: float) -> dict[str, float | None]:
    """Words and letters of `text` per second of sounding time `spans_s`."""
    n_words = len(text.split())
    n_letters = sum(char.isalnum() for char in text)
    return {
        "words_per_s": n_words / spans_s if spans_s > 0 else None,
        "letters_per_s": n_letters / spans_s if spans_s > 0 else None,
    }
