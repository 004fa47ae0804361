"""Compiles the stages for TPUs and GPUs without one; settings are in configs/aot.yaml.

Run: python scripts/aot.py targets=[v5e] sizes=[small]
"""

import json
import os
import sys

import checkout  # noqa: F401  puts it on the path

from bark_jax.programs.launch import Composed, launch


def main(composed: Composed) -> None:
    # Do not look for this machine's own devices or a GPU's driver.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")
    from bark_jax.programs.compose import from_hydra
    from benchmarks.aot import AotSettings, render, run, write

    settings = from_hydra(AotSettings, composed)
    results = {}
    for result in run(settings):
        path = write(result, settings)  # after every program: compiling takes hours
        results[path] = result
    for path, result in results.items():
        print(render(result))
        print(json.dumps(result))
        print(f"wrote {path.name}", file=sys.stderr)


if __name__ == "__main__":
    launch(main, "aot", sys.argv[1:], extra="benchmark")
