"""Compiles the stages for TPUs and GPUs without one; settings are in configs/aot.yaml.

Run: python scripts/aot.py targets=[v5e] sizes=[small]
"""

import json
import os
import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

# This machine's own devices are not looked for, nor the driver of a GPU.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `benchmarks` is not installed

from benchmarks.aot import AotSettings, render, run, write
from scripts.compose import from_hydra


@hydra.main(version_base="1.3", config_path="../configs", config_name="aot")
def main(composed: DictConfig) -> None:
    try:
        settings = from_hydra(AotSettings, composed)
        results = {}
        for result in run(settings):
            path = write(result, settings)  # compiling takes hours: nothing of it is lost
            results[path] = result
        for path, result in results.items():
            print(render(result))
            print(json.dumps(result))
            print(f"wrote {path.name}", file=sys.stderr)
    except (ValueError, ImportError, OmegaConfBaseException) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
