"""Distances between two pieces of audio, in spectra of several resolutions.

Axes: **S** samples · **X** frames of a spectrum · **F** frequencies · **M** mel bands.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.models.seanet import matmul

FLOOR = 1e-3  # added to magnitudes under the logarithm: 60 dB below a loud tone
SMALLEST = 1e-12  # added under the root, whose slope at silence stays finite


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpectralSettings:
    """Which spectra are compared, and the weights of their distances."""

    windows: tuple[int, ...] = (2048, 1024, 512, 256)  # samples; a quarter of one is its hop
    log_mel: float = 1.0  # |difference| of log magnitudes in mel bands
    mel: float = 0.5  # |difference| of the magnitudes themselves
    stft: float = 0.0  # |difference| of log magnitudes at every frequency

    def __post_init__(self) -> None:
        if not self.windows or any(window < 32 or window % 4 for window in self.windows):
            raise ValueError(f"spectral.windows={self.windows}: want multiples of 4 from 32 on")
        for name in ("log_mel", "mel", "stft"):
            if getattr(self, name) < 0:
                raise ValueError(f"spectral.{name}={getattr(self, name)} is negative")


def spectral_distance(
    a_BS: jax.Array, b_BS: jax.Array, sample_rate: int, settings: SpectralSettings
) -> jax.Array:
    """Distance of each pair of rows, the mean over all windows (B,); gradients flow into both."""
    total_B = jnp.zeros(len(a_BS))
    for window in settings.windows:
        a_BXF, b_BXF = magnitudes(a_BS, window), magnitudes(b_BS, window)
        if settings.stft:
            total_B += settings.stft * _log_distance(a_BXF, b_BXF)
        if settings.log_mel or settings.mel:
            mel_FM = jnp.asarray(mel_bands(sample_rate, window))
            a_BXM, b_BXM = matmul(a_BXF, mel_FM), matmul(b_BXF, mel_FM)
            total_B += settings.log_mel * _log_distance(a_BXM, b_BXM)
            total_B += settings.mel * jnp.abs(a_BXM - b_BXM).mean((1, 2))
    return total_B / len(settings.windows)


def _log_distance(a_BXF: jax.Array, b_BXF: jax.Array) -> jax.Array:
    return jnp.abs(jnp.log(a_BXF + FLOOR) - jnp.log(b_BXF + FLOOR)).mean((1, 2))


def magnitudes(samples_BS: jax.Array, window: int) -> jax.Array:
    """Magnitudes (B, X, window // 2 + 1) of Hann windows that overlap by three quarters.

    Divided by the root of the window's energy, so that noise has the same size at every window
    length; otherwise the longest would outweigh the others.
    """
    parts = complex_spectra(samples_BS, window)
    return jnp.sqrt(jnp.square(parts.real) + jnp.square(parts.imag) + SMALLEST)


def complex_spectra(samples_BS: jax.Array, window: int) -> jax.Array:
    """Like `magnitudes`, but complex64."""
    hop = window // 4
    B, S = samples_BS.shape
    if window > S:
        raise ValueError(f"{S} samples are fewer than the longest window of {window}")
    blocks_BXS = samples_BS[:, : S // hop * hop].reshape(B, S // hop, hop)
    n_frames = S // hop - 3
    frames_BXS = jnp.concatenate([blocks_BXS[:, i : i + n_frames] for i in range(4)], axis=-1)
    hann_S = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    hann_S = jnp.asarray(hann_S / np.sqrt(np.square(hann_S).sum()), jnp.float32)
    return jnp.fft.rfft(frames_BXS * hann_S[None, None])


@functools.cache
def mel_bands(sample_rate: int, window: int) -> np.ndarray:
    """Weights (F, M) that sum the frequencies of a window into mel bands, each summing to 1."""
    import librosa  # only training needs it, and importing it takes a while

    n_bands = min(80, window // 8)
    weight_MF = librosa.filters.mel(sr=sample_rate, n_fft=window, n_mels=n_bands, norm=None)
    return (weight_MF / weight_MF.sum(1, keepdims=True)).T.astype(np.float32)
