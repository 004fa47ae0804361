"""A picture of a recording: mel spectrogram, time to the right, pitch upwards."""

from pathlib import Path

import numpy as np

N_MELS, HIGHEST_HZ = 96, 12_000
HOP_S = 0.0125  # of one column
MIN_COLUMNS = 4  # of a picture of next to nothing
RANGE_DB = 80.0  # from the loudest point down


def mel_db(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Mel bands (96, columns) in dB, 0 … RANGE_DB, low bands first."""
    import librosa

    hop = round(HOP_S * sample_rate)
    padded = np.zeros(max(len(audio), MIN_COLUMNS * hop), np.float32)
    padded[: len(audio)] = audio
    power = librosa.feature.melspectrogram(
        y=padded,
        sr=sample_rate,
        n_fft=2048,
        win_length=4 * hop,
        hop_length=hop,
        n_mels=N_MELS,
        fmax=min(HIGHEST_HZ, sample_rate / 2),
    )
    # The floor keeps silence dark: the loudest point of a silent recording is nothing to scale by.
    decibels = librosa.power_to_db(power, ref=max(float(power.max()), 1e-4), top_db=None)
    return np.clip(decibels + RANGE_DB, 0, RANGE_DB)


def save_spectrogram(path: Path, audio: np.ndarray, sample_rate: int) -> None:
    """Writes a PNG, one pixel per band and column."""
    from matplotlib import image

    image.imsave(
        path, mel_db(audio, sample_rate), origin="lower", cmap="magma", vmin=0, vmax=RANGE_DB
    )
