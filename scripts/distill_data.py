"""Makes training records of texts that a model speaks; settings: configs/data/distill_data.yaml.

Run: python scripts/distill_data.py texts=lines.txt out=DATA model.source=suno/bark-small
The same command again goes on with a run that was interrupted.
"""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `scripts` is not installed

from bark_jax.preparation.distill import DistillSettings, distill
from scripts.compose import from_hydra
from scripts.prepare_data import report


@hydra.main(version_base="1.3", config_path="../configs/data", config_name="distill_data")
def main(composed: DictConfig) -> None:
    try:
        settings = from_hydra(DistillSettings, composed)
        report(distill(settings), settings.out)
    except (ValueError, OSError, RuntimeError, ImportError, OmegaConfBaseException) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on from what is finished")


if __name__ == "__main__":
    main()
