"""The environment variables of the drop-in API and the command line, read at each use."""

import os

MODEL = "BARK_JAX_MODEL"  # a model directory, "nano" or a hub repository, for every stage
SMALL = "SUNO_USE_SMALL_MODELS"
OFFLOAD = "SUNO_OFFLOAD_CPU"


def is_true(name: str) -> bool:
    """The original's rule: true, 1 and t count, in any case; anything else does not."""
    return os.environ.get(name, "").lower() in ("true", "1", "t")
