"""Measures bark_jax beside its peers; settings are in configs/benchmark.yaml.

Run: python scripts/benchmark.py size=small
"""

import json
import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `benchmarks` is not installed

from benchmarks.plot import draw
from benchmarks.run import run, write
from benchmarks.settings import BenchmarkSettings
from benchmarks.table import render
from scripts.compose import from_hydra


@hydra.main(version_base="1.3", config_path="../configs", config_name="benchmark")
def main(composed: DictConfig) -> None:
    try:
        settings = from_hydra(BenchmarkSettings, composed)
        result = run(settings)
    except (ValueError, OSError, ImportError, RuntimeError, OmegaConfBaseException) as error:
        sys.exit(f"error: {error}")
    path = write(result, settings)
    draw(result, path.with_suffix(".png"))
    print(render(result))
    print(json.dumps(result))
    print(f"wrote {path.name} and {path.stem}.png", file=sys.stderr)


if __name__ == "__main__":
    main()
