"""Who speaks: a speaker embedding, by the encoder that the package `Resemblyzer` brings."""

import functools
import warnings
from typing import Any

import numpy as np

from bark_jax.sound import resampled

RATE_HZ = 16_000


def embedding(audio: np.ndarray, sample_rate: int) -> np.ndarray | None:
    """A vector (256,) float32 of length 1, none of it negative; None where nobody speaks.

    The cosine of two says how alike the voices are. Silence is cut out before.

    Args:
      audio: (S,) float, in -1 … 1; clipped beyond.
      sample_rate: of the audio [Hz].
    """
    samples = resampled(audio, sample_rate, RATE_HZ).clip(-1, 1)
    if not samples.any():
        return None
    preprocess, encoder = _resemblyzer()
    voiced = preprocess(samples)
    return encoder.embed_utterance(voiced) if len(voiced) else None


@functools.cache
def _resemblyzer() -> tuple[Any, Any]:
    with warnings.catch_warnings():
        # it imports a name of SciPy's from where it no longer lives
        warnings.simplefilter("ignore", DeprecationWarning)
        from resemblyzer import (  # pyright: ignore[reportMissingImports]
            VoiceEncoder,
            preprocess_wav,
        )
    return preprocess_wav, VoiceEncoder("cpu", verbose=False)
