"""Makes training records of texts that a model speaks; settings: configs/data/distill_data.yaml.

Run: bark-jax distill-data texts=lines.txt out=DATA model.source=suno/bark-small
The same command again resumes a run that was interrupted.
"""

from collections.abc import Sequence

from bark_jax.programs.launch import Composed, launch


def run(composed: Composed) -> None:
    from bark_jax.preparation.distill import DistillSettings, distill
    from bark_jax.programs.compose import from_hydra
    from bark_jax.programs.prepare_data import report

    settings = from_hydra(DistillSettings, composed)
    report(distill(settings), settings.out)


def main(argv: Sequence[str]) -> None:
    launch(run, "data/distill_data", argv, extra="train", resumes=True)
