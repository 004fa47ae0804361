"""Measures a training step of each stage; settings are in configs/train/benchmark_training.yaml.

Run: python scripts/benchmark_training.py size=small rows=1
"""

import json
import sys

import checkout  # noqa: F401  puts it on the path

from bark_jax.programs.launch import Composed, launch


def main(composed: Composed) -> None:
    from bark_jax.programs.compose import from_hydra
    from benchmarks.training import TrainingSettings, render, run

    result = run(from_hydra(TrainingSettings, composed))
    print(render(result))
    print(json.dumps(result))


if __name__ == "__main__":
    launch(main, "train/benchmark_training", sys.argv[1:], extra="benchmark,train")
