"""Measures what a direction between two voices does; settings are in configs/steer.yaml.

Run: python scripts/steer.py strengths=[-1,0,1]
"""

import sys

import checkout  # noqa: F401  puts it on the path

from bark_jax.programs.launch import Composed, launch


def main(composed: Composed) -> None:
    from bark_jax.programs.compose import from_hydra
    from benchmarks.steering import SteeringSettings, run, table

    print(table(run(from_hydra(SteeringSettings, composed))))


if __name__ == "__main__":
    launch(main, "steer", sys.argv[1:], extra="eval,benchmark")
