"""Draws the losses of training runs; settings are in configs/train/plot_training.yaml.

Run: python scripts/plot_training.py 'runs={semantic: RUN1, codec: RUN2}' out=loss.png
"""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bark_jax.training.run.curve import CurveSettings, draw
from scripts.compose import from_hydra


@hydra.main(version_base="1.3", config_path="../configs/train", config_name="plot_training")
def main(composed: DictConfig) -> None:
    try:
        print(f"wrote {draw(from_hydra(CurveSettings, composed))}")
    except (ValueError, OSError, ImportError, OmegaConfBaseException) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
