"""Wrong tokens among a training example's inputs.

A model that has read only its own corpus does not recover from its first odd draw; a few random
tokens among the inputs (never among the targets) teach it to.
"""

import numpy as np


def corrupt(
    ids: np.ndarray, low: np.ndarray | int, high: np.ndarray | int, share: float,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Replaces about `share` of the ids by random ones from [low, high), a range for each."""
    if not share:
        return ids
    is_wrong = rng.random(ids.shape) < share
    return np.where(is_wrong, rng.integers(low, high, ids.shape), ids).astype(ids.dtype)
