"""The command line. `main` is the console command `bark-jax`."""

from bark_jax.cli.command import main

__all__ = ["main"]
