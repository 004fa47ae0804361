"""Generates every point of a product of settings; settings are in configs/sweep.yaml.

Run: python scripts/sweep.py hydra/launcher=vectorized sampling.semantic.temperature=0.5,0.9
The same command again, with hydra.sweep.dir, resumes a sweep that was interrupted.
"""

from typing import Any

from launch import Composed, launch


def point(composed: Composed) -> dict[str, Any]:
    """One job; launchers that run many at a time ask its `points`."""
    from scripts.points import run_point

    return run_point(composed)


def points() -> object:
    from scripts.points import Points

    return Points()


if __name__ == "__main__":
    launch(point, "sweep", extra="sweep", points=points)
