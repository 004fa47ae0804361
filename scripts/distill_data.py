"""Makes training records of texts that a model speaks; settings: configs/data/distill_data.yaml.

Run: python scripts/distill_data.py texts=lines.txt out=DATA model.source=suno/bark-small
The same command again resumes a run that was interrupted.
"""

from launch import Composed, launch


def main(composed: Composed) -> None:
    from bark_jax.preparation.distill import DistillSettings, distill
    from scripts.compose import from_hydra
    from scripts.prepare_data import report

    settings = from_hydra(DistillSettings, composed)
    report(distill(settings), settings.out)


if __name__ == "__main__":
    launch(main, "data/distill_data", extra="train", resumes=True)
