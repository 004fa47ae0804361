"""Bark, the text-to-audio model, in JAX and Flax."""

__version__ = "0.1.0"
