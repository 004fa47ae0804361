"""Trains one stage of Bark; settings are in configs/train/finetune.yaml.

Run: bark-jax finetune stage=semantic data=DATA model.source=MODEL out=RUN steps=200
The same command again resumes a run that was interrupted.
"""

import sys
from collections.abc import Sequence

from bark_jax.programs.launch import Composed, launch


def run(composed: Composed) -> None:
    from bark_jax.programs.compose import from_hydra
    from bark_jax.training.run.finetune import finetune
    from bark_jax.training.run.settings import FinetuneSettings

    outcome = finetune(from_hydra(FinetuneSettings, composed))
    if outcome.reason == "dry run":
        return
    if outcome.export is None:
        print(f"stopped after step {outcome.step}; the same command goes on", file=sys.stderr)
    else:
        loss = "" if outcome.eval_loss is None else f", eval_loss {outcome.eval_loss:.4f}"
        print(f"{outcome.step} steps{loss}; wrote {outcome.export}")


def main(argv: Sequence[str]) -> None:
    launch(run, "train/finetune", argv, extra="train", resumes=True)
