"""The commands that take their settings from `configs/`, with Hydra, which only this room imports.

Each module has a function `main`, which `bark_jax.cli` calls with the rest of the command line.
"""
