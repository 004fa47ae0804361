"""How sure the model was at every step: the entropy of the distribution that it drew from.

Finished tokens are scored, so that drawing them costs no more. The fine stage draws all frames of a
codebook at once and has no steps.
"""

from typing import Any

import numpy as np

from bark_jax.generation import Generation
from bark_jax.pipeline import Bark
from bark_jax.sampling_config import of_record


def step_entropy(bark: Bark, made: Generation, voice: Any = None) -> dict[str, np.ndarray]:
    """Entropy [bit] of each draw by stage, after processors, filters and temperature; float32.

    "semantic" is (N,), without the draw of the end token, and "coarse" (2 T,), codebooks taking
    turns.

    Args:
      made: from `bark.generate`, with its text and sampling values.
      voice: the voice that it was made with.
    """
    scores = bark.score(
        text=made.text,
        semantic=made.semantic,
        coarse=made.coarse,
        voice=voice,
        sampling=of_record(made.settings["sampling"]),
        as_drawn=True,
        details=["entropy"],
    )
    nats = scores.details["entropy"]
    steps = {"semantic": nats["semantic"][:-1], "coarse": nats["coarse"].T.ravel()}
    return {stage: values / np.log(2, dtype=np.float32) for stage, values in steps.items()}
