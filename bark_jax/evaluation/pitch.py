"""How high a voice is: the fundamental frequency of its voiced frames."""

import dataclasses

import numpy as np

from bark_jax.sound import resampled

LOWEST_HZ, HIGHEST_HZ = 60.0, 500.0
RATE_HZ = 16_000  # enough for the voice's first harmonics, and less work than 24 kHz
FRAME, HOP = 1024, 320  # samples; 64 and 20 ms


@dataclasses.dataclass(frozen=True)
class Pitch:
    """None where too little is voiced to tell."""

    median_hz: float | None
    low_hz: float | None  # 5th percentile
    high_hz: float | None  # 95th percentile
    voiced_share: float  # of the frames


def pitch_of(audio: np.ndarray, sample_rate: int) -> Pitch:
    """Pitch by probabilistic YIN (librosa), some 0.15 s of work per second of audio.

    Args:
      audio: (S,) float.
      sample_rate: of the audio [Hz].
    """
    import librosa

    samples = resampled(audio, sample_rate, RATE_HZ)
    if len(samples) < FRAME or not samples.any():
        return Pitch(None, None, None, 0.0)
    f0_T, is_voiced_T, _ = librosa.pyin(
        samples,
        fmin=LOWEST_HZ,
        fmax=HIGHEST_HZ,
        sr=RATE_HZ,
        frame_length=FRAME,
        hop_length=HOP,
    )
    voiced = f0_T[is_voiced_T]
    if len(voiced) < 5:  # a tenth of a second
        return Pitch(None, None, None, float(is_voiced_T.mean()))
    low, median, high = np.percentile(voiced, [5, 50, 95])
    return Pitch(float(median), float(low), float(high), float(is_voiced_T.mean()))
