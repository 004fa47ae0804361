"""Measures bark_jax beside its peers; settings are in configs/benchmark.yaml.

Run: python scripts/benchmark.py size=small
"""

import json
import sys

import checkout  # noqa: F401  puts it on the path

from bark_jax.programs.launch import Composed, launch


def main(composed: Composed) -> None:
    from bark_jax.programs.compose import from_hydra
    from benchmarks.plot import draw
    from benchmarks.run import run, write
    from benchmarks.settings import BenchmarkSettings
    from benchmarks.table import render

    settings = from_hydra(BenchmarkSettings, composed)
    result = run(settings)
    path = write(result, settings)
    draw(result, path.with_suffix(".png"))
    print(render(result))
    print(json.dumps(result))
    print(f"wrote {path.name} and {path.stem}.png", file=sys.stderr)


if __name__ == "__main__":
    launch(main, "benchmark", sys.argv[1:], extra="benchmark")
