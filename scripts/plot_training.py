"""Draws the losses of training runs; settings are in configs/train/plot_training.yaml.

Run: python scripts/plot_training.py 'runs={semantic: RUN1, codec: RUN2}' out=loss.png
"""

from launch import Composed, launch


def main(composed: Composed) -> None:
    from bark_jax.training.run.curve import CurveSettings, draw
    from scripts.compose import from_hydra

    print(f"wrote {draw(from_hydra(CurveSettings, composed))}")


if __name__ == "__main__":
    launch(main, "train/plot_training", extra="train")
