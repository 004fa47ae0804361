"""Measures a training step of each stage; settings are in configs/train/benchmark_training.yaml.

Run: python scripts/benchmark_training.py size=small rows=1
"""

import json
import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `benchmarks` is not installed

from benchmarks.training import TrainingSettings, render, run
from scripts.compose import from_hydra


@hydra.main(version_base="1.3", config_path="../configs/train", config_name="benchmark_training")
def main(composed: DictConfig) -> None:
    try:
        result = run(from_hydra(TrainingSettings, composed))
    except (ValueError, OSError, ImportError, OmegaConfBaseException) as error:
        sys.exit(f"error: {error}")
    print(render(result))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
