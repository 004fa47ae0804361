"""Trains the model that ships in the package; settings are in configs/nano/train_nano.yaml.

Run: python scripts/train_nano.py out=nano-run
The same command again goes on with a run that was interrupted. Needs flite.
"""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `nano` is not installed

from nano.recipe import RecipeSettings, run
from scripts.compose import from_hydra


@hydra.main(version_base="1.3", config_path="../configs/nano", config_name="train_nano")
def main(composed: DictConfig) -> None:
    try:
        model = run(from_hydra(RecipeSettings, composed))
    except (ValueError, OSError, RuntimeError, ImportError, OmegaConfBaseException) as error:
        sys.exit(f"error: {error}")
    print(f"wrote {model}")


if __name__ == "__main__":
    main()
