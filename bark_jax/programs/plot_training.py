"""Draws the losses of training runs; settings are in configs/train/plot_training.yaml.

Run: bark-jax plot-training 'runs={semantic: RUN1, codec: RUN2}' out=loss.png
"""

from collections.abc import Sequence

from bark_jax.programs.launch import Composed, launch


def run(composed: Composed) -> None:
    from bark_jax.programs.compose import from_hydra
    from bark_jax.training.run.curve import CurveSettings, draw

    print(f"wrote {draw(from_hydra(CurveSettings, composed))}")


def main(argv: Sequence[str]) -> None:
    launch(run, "train/plot_training", argv, extra="train")
