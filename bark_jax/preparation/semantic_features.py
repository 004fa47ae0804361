"""Audio to feature vectors at the rate of the semantic tokens, which can be any."""

import dataclasses
import functools
from fractions import Fraction

import numpy as np

LOG_FLOOR = 1e-8  # of mel energies; about -80 dB of full scale
DELTA_FRAMES = 5  # that a slope is measured over


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """MFCCs and their slopes, one vector per semantic token."""

    rate_hz: Fraction  # of the vectors
    sample_rate: int = 16_000  # of the audio that they are computed from [Hz]
    window_s: float = 0.025
    n_mels: int = 40
    n_mfcc: int = 14

    def __post_init__(self) -> None:
        if not 0 < self.rate_hz <= self.sample_rate / 2:
            raise ValueError(f"rate_hz={self.rate_hz} is not in 0 … {self.sample_rate / 2}")
        if not 2 <= self.n_mfcc <= self.n_mels:
            raise ValueError(f"n_mfcc={self.n_mfcc} is not in 2 … n_mels={self.n_mels}")
        if round(self.window_s * self.sample_rate) < 8:
            raise ValueError(f"window_s={self.window_s} is shorter than 8 samples")

    @property
    def n_features(self) -> int:
        return 2 * self.n_mfcc


def n_tokens(n_samples: int, sample_rate: int, rate_hz: Fraction) -> int:
    """Tokens that fit into a clip, but at least one."""
    return max(1, int(n_samples * rate_hz / sample_rate))


def token_times(n: int, rate_hz: Fraction) -> np.ndarray:
    """Middle (n,) of each token [s]."""
    return (np.arange(n) + 0.5) / float(rate_hz)


def features(audio: np.ndarray, sample_rate: int, cfg: FeatureConfig) -> np.ndarray:
    """Vectors (N, cfg.n_features) float32 of audio (S,): MFCCs, then their slopes."""
    import librosa
    import soxr

    n = n_tokens(len(audio), sample_rate, cfg.rate_hz)
    if sample_rate != cfg.sample_rate:
        audio = soxr.resample(audio.astype(np.float32), sample_rate, cfg.sample_rate, quality="HQ")
    window, bank = _window(cfg), _mel_bank(cfg)
    power = np.abs(np.fft.rfft(_frames(audio, n, cfg) * window, _fft_size(cfg))) ** 2
    log_mel = np.log(power @ bank.T + LOG_FLOOR)
    mfcc = librosa.feature.mfcc(S=log_mel.T, n_mfcc=cfg.n_mfcc)
    slope = librosa.feature.delta(mfcc, width=DELTA_FRAMES, mode="nearest")
    return np.concatenate([mfcc, slope]).T.astype(np.float32)


def stack_context(vectors: np.ndarray, n_frames: int) -> np.ndarray:
    """Each vector (N, F) with `n_frames` neighbours on both sides: (N, (2 n + 1) F)."""
    padded = np.pad(vectors, ((n_frames, n_frames), (0, 0)), mode="edge")
    shifted = [padded[i : i + len(vectors)] for i in range(2 * n_frames + 1)]
    return np.concatenate(shifted, axis=1)


def _frames(audio: np.ndarray, n: int, cfg: FeatureConfig) -> np.ndarray:
    """Windows (n, samples) around the middle of each token; 49.9 a second is not a whole hop."""
    size = len(_window(cfg))
    middle = np.rint(token_times(n, cfg.rate_hz) * cfg.sample_rate).astype(int)
    padded = np.pad(audio, size)  # silence before the beginning and after the end
    index = middle[:, None] + size - size // 2 + np.arange(size)
    return padded[np.minimum(index, len(padded) - 1)]


def _fft_size(cfg: FeatureConfig) -> int:
    return 1 << (len(_window(cfg)) - 1).bit_length()


@functools.cache
def _window(cfg: FeatureConfig) -> np.ndarray:
    return np.hanning(round(cfg.window_s * cfg.sample_rate)).astype(np.float32)


@functools.cache
def _mel_bank(cfg: FeatureConfig) -> np.ndarray:
    import librosa

    return librosa.filters.mel(sr=cfg.sample_rate, n_fft=_fft_size(cfg), n_mels=cfg.n_mels)
