"""Measures a training step of each stage; settings are in configs/train/benchmark_training.yaml.

Run: python scripts/benchmark_training.py size=small rows=1
"""

import json

from launch import Composed, launch


def main(composed: Composed) -> None:
    from benchmarks.training import TrainingSettings, render, run
    from scripts.compose import from_hydra

    result = run(from_hydra(TrainingSettings, composed))
    print(render(result))
    print(json.dumps(result))


if __name__ == "__main__":
    launch(main, "train/benchmark_training", extra="benchmark,train")
