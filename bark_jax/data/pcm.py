"""Audio as records keep it: 16-bit samples."""

import numpy as np

FULL_SCALE = 32768


def quantize_audio(audio: np.ndarray) -> np.ndarray:
    """Samples (S,) as int16; beyond ±1 they are clipped."""
    return np.clip(np.rint(audio * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def restore_audio(stored: np.ndarray) -> np.ndarray:
    """Float32 samples in [-1, 1) of int16 ones."""
    return stored.astype(np.float32) / np.float32(FULL_SCALE)
