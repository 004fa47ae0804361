"""Trains one stage of Bark; settings are in configs/train/finetune.yaml.

Run: python scripts/finetune.py stage=semantic data=DATA init=MODEL out=RUN steps=200 batch_size=8
The same command again goes on with a run that was interrupted.
"""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bark_jax.training.run.finetune import finetune
from bark_jax.training.run.settings import FinetuneSettings
from scripts.compose import from_hydra


@hydra.main(version_base="1.3", config_path="../configs/train", config_name="finetune")
def main(composed: DictConfig) -> None:
    try:
        outcome = finetune(from_hydra(FinetuneSettings, composed))
    except (
        ValueError, OSError, ImportError, RuntimeError, ArithmeticError, OmegaConfBaseException
    ) as error:  # fmt: skip
        sys.exit(f"error: {error}")
    if outcome.reason == "dry run":
        return
    if outcome.export is None:
        print(f"stopped after step {outcome.step}; the same command goes on", file=sys.stderr)
    else:
        loss = "" if outcome.eval_loss is None else f", eval_loss {outcome.eval_loss:.4f}"
        print(f"{outcome.step} steps{loss}; wrote {outcome.export}")


if __name__ == "__main__":
    main()
