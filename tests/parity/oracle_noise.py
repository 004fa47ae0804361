"""The same randomness for the original and for us.

torch's multinomial on CPU draws `argmax(p / E)` with E from Exp(1); ours is `argmax(log p + g)`.
With g = -log E both choose the same id, unless the best two are closer than float32 rounding: so
every comparison also asserts that the narrowest choice of the original was wider than `SAFE_GAP`,
and seeds were chosen such that it is.
"""

import functools
from collections.abc import Iterator, Sequence

import numpy as np

from bark_jax.stages.fine import Window

# In log p + g. The scores of the tiny models differ by at most 3e-6 between torch and jax
# (test_models_parity.py), which a temperature of 0.5 doubles.
SAFE_GAP = 2e-5


@functools.lru_cache(maxsize=2)
def exponential(seed: int, *shape: int) -> np.ndarray:
    """E, float32."""
    rng = np.random.default_rng(seed)
    return np.maximum(rng.standard_exponential(shape, np.float32), np.float32(1e-30))


def gumbel(exponential: np.ndarray) -> np.ndarray:
    """g, for our stages."""
    return -np.log(exponential)


def fine_draws(
    exponential: np.ndarray, windows: Sequence[Window], n_given: int, n_codebooks: int = 8
) -> Iterator[np.ndarray]:
    """E in the order in which the original draws: window, codebook, frame.

    `exponential` is laid out as `generate_fine` takes its noise: step `window * Q + codebook`.
    """
    for index, window in enumerate(windows):
        for codebook in range(n_given, n_codebooks):
            yield from exponential[index * n_codebooks + codebook, window.n_seen :]
