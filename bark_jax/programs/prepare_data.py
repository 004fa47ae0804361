"""Makes training records of recordings; settings are in configs/data/prepare_data.yaml.

Run: bark-jax prepare-data manifest=corpus.jsonl out=DATA model.source=MODEL
The same command again resumes a run that was interrupted.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bark_jax.programs.launch import Composed, launch

if TYPE_CHECKING:
    from bark_jax.data.manifest import Manifest


def run(composed: Composed) -> None:
    # Imported here because the processes that read audio import this file and need none of it.
    from bark_jax.preparation.prepare import PrepareSettings, prepare
    from bark_jax.programs.compose import from_hydra

    settings = from_hydra(PrepareSettings, composed)
    report(prepare(settings), settings.out)


def report(manifest: "Manifest", out: str) -> None:
    """Prints what was made."""
    for split, counts in manifest.counts.items():
        print(f"{split}: {manifest.n_records(split)} records, {counts['audio_s'] / 60:.1f} minutes")
    if manifest.n_skipped:
        reasons = Path(out).expanduser() / "skipped.jsonl"
        print(f"{manifest.n_skipped} rows skipped, with the reasons: {reasons}")


def main(argv: Sequence[str]) -> None:
    launch(run, "data/prepare_data", argv, extra="train", resumes=True)
