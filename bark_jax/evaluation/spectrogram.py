"""A picture of a recording: mel spectrogram, time to the right, pitch upwards."""

from pathlib import Path

import numpy as np

N_MELS, HIGHEST_HZ = 96, 12_000
HOP_S = 0.0125  # of one column
WINDOW = 2048  # samples of the transform
RANGE_DB = 80.0  # from the loudest point down


def mel_db(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Mel bands (96, columns) in dB, 0 … RANGE_DB, low bands first."""
    import librosa

    hop = round(HOP_S * sample_rate)
    padded = np.zeros(max(len(audio), WINDOW), np.float32)
    padded[: len(audio)] = audio
    power = librosa.feature.melspectrogram(
        y=padded,
        sr=sample_rate,
        n_fft=WINDOW,
        win_length=4 * hop,
        hop_length=hop,
        n_mels=N_MELS,
        fmax=min(HIGHEST_HZ, sample_rate / 2),
    )
    # The floor keeps silence dark: a silent recording must not be scaled by its loudest point.
    loudest = max(float(power.max()), 1e-4)
    decibels = librosa.power_to_db(power, ref=loudest, amin=1e-12, top_db=None) + RANGE_DB
    return np.clip(decibels, 0, RANGE_DB)[:, : 1 + len(audio) // hop]


def save_spectrogram(path: Path, audio: np.ndarray, sample_rate: int) -> None:
    """Writes a PNG, one pixel per band and column."""
    from matplotlib import image

    image.imsave(
        path, mel_db(audio, sample_rate), origin="lower", cmap="magma", vmin=0, vmax=RANGE_DB
    )
