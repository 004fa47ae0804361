"""Bark, the text-to-audio model, in JAX and Flax.

>>> from bark_jax import Bark
>>> Bark.from_pretrained("nano").generate("hello there", seed=1).save("hello.wav")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bark_jax.generation import Generation
    from bark_jax.pipeline import Bark
    from bark_jax.sampling_config import SamplingConfig

__version__ = "0.1.0"
__all__ = ["Bark", "Generation", "SamplingConfig", "__version__"]

_HOMES = {
    "Bark": "bark_jax.pipeline",
    "Generation": "bark_jax.generation",
    "SamplingConfig": "bark_jax.sampling_config",
}


def __getattr__(name: str) -> Any:
    """Imports on first use, so that `bark-jax --help` need not wait for JAX."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
