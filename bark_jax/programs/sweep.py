"""Generates every point of a product of settings; settings are in configs/sweep.yaml.

Run: bark-jax sweep hydra/launcher=vectorized sampling.semantic.temperature=0.5,0.9
The same command again, with hydra.sweep.dir, resumes a sweep that was interrupted.
"""

from collections.abc import Sequence
from typing import Any

from bark_jax.programs.launch import Composed, launch


def point(composed: Composed) -> dict[str, Any]:
    """One job; launchers that run many at a time ask its `points`."""
    from bark_jax.programs.points import run_point

    return run_point(composed)


def points() -> object:
    from bark_jax.programs.points import Points

    return Points()


def main(argv: Sequence[str]) -> None:
    launch(point, "sweep", argv, extra="sweep", points=points)
