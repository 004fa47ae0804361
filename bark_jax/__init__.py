"""Bark, the text-to-audio model, in JAX and Flax.

>>> from bark_jax import Bark
>>> Bark.from_pretrained("nano").generate("good morning", seed=1).save("hello.wav")

`bark_jax.api` has the original's functions under the original's names.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bark_jax.config import BarkConfig
    from bark_jax.generation import Generation
    from bark_jax.guidance import Guidance
    from bark_jax.long.run import LongGeneration
    from bark_jax.long.settings import LongSettings
    from bark_jax.pipeline import Bark
    from bark_jax.runtime.execution import DTypes
    from bark_jax.sampling_config import (
        CoarseSampling,
        FineSampling,
        SamplingConfig,
        SemanticSampling,
    )
    from bark_jax.scoring.scores import Scores
    from bark_jax.sources.hub import ModelNotFoundError
    from bark_jax.voices import Voice, VoiceError
    from bark_jax.watching import Block

__version__ = "0.1.0"
__all__ = [  # noqa: RUF022  # in groups
    # generation: a model, its results, and the voices that it continues
    "Bark",
    "Generation",
    "Voice",
    "Scores",
    # texts of any length
    "LongGeneration",
    "LongSettings",
    # how each stage samples
    "SamplingConfig",
    "SemanticSampling",
    "CoarseSampling",
    "FineSampling",
    "Guidance",
    # what a caller is told meanwhile
    "Block",
    # number formats; sizes and token layout of a model
    "DTypes",
    "BarkConfig",
    # the package's own errors; all others are Python's
    "ModelNotFoundError",
    "VoiceError",
    "__version__",
]

_HOMES = {
    "Bark": "bark_jax.pipeline",
    "Generation": "bark_jax.generation",
    "Voice": "bark_jax.voices",
    "Scores": "bark_jax.scoring.scores",
    "LongGeneration": "bark_jax.long.run",
    "LongSettings": "bark_jax.long.settings",
    "SamplingConfig": "bark_jax.sampling_config",
    "SemanticSampling": "bark_jax.sampling_config",
    "CoarseSampling": "bark_jax.sampling_config",
    "FineSampling": "bark_jax.sampling_config",
    "Guidance": "bark_jax.guidance",
    "Block": "bark_jax.watching",
    "DTypes": "bark_jax.runtime.execution",
    "BarkConfig": "bark_jax.config",
    "ModelNotFoundError": "bark_jax.sources.hub",
    "VoiceError": "bark_jax.voices",
}


def __getattr__(name: str) -> Any:
    """Imports on first use, so that `bark-jax --help` need not wait for JAX."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
