"""Generates one audio file and measures it; settings are in configs/generate.yaml.

Run: python scripts/generate.py 'prompts.text="Hello there."' model.source=suno/bark-small seed=1
"""

import json
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `scripts` is not installed

from scripts.points import run_point


@hydra.main(version_base="1.3", config_path="../configs", config_name="generate")
def main(composed: DictConfig) -> None:
    try:
        metrics = run_point(composed)
    except (ValueError, OSError, ImportError, OmegaConfBaseException) as error:
        sys.exit(f"error: {error}")
    print(json.dumps(metrics, indent=2, ensure_ascii=False))
    print(f"wrote {HydraConfig.get().runtime.output_dir}", file=sys.stderr)


if __name__ == "__main__":
    main()
