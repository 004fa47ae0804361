"""Generates every point of a product of settings; settings are in configs/sweep.yaml.

Run: python scripts/sweep.py hydra/launcher=vectorized sampling.semantic.temperature=0.5,0.9
"""

import sys
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `scripts` is not installed

from scripts.points import Points, run_point


def point(composed: DictConfig) -> dict[str, Any]:
    """One job; launchers that run many at a time ask `points`."""
    return run_point(composed)


point.points = Points()  # type: ignore[attr-defined]
main = hydra.main(version_base="1.3", config_path="../configs", config_name="sweep")(point)

if __name__ == "__main__":
    main()
