"""Makes training records of recordings; settings are in configs/data/prepare_data.yaml.

Run: python scripts/prepare_data.py manifest=corpus.jsonl out=DATA model.source=MODEL
The same command again resumes a run that was interrupted.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from launch import Composed, launch

if TYPE_CHECKING:
    from bark_jax.data.manifest import Manifest


def main(composed: Composed) -> None:
    # Imported here because the processes that read audio import this file and need none of it.
    from bark_jax.preparation.prepare import PrepareSettings, prepare
    from scripts.compose import from_hydra

    settings = from_hydra(PrepareSettings, composed)
    report(prepare(settings), settings.out)


def report(manifest: "Manifest", out: str) -> None:
    """Prints what was made."""
    for split, counts in manifest.counts.items():
        print(f"{split}: {manifest.n_records(split)} records, {counts['audio_s'] / 60:.1f} minutes")
    if manifest.n_skipped:
        print(f"{manifest.n_skipped} rows skipped, with the reasons: {Path(out) / 'skipped.jsonl'}")


if __name__ == "__main__":
    launch(main, "data/prepare_data", extra="train", resumes=True)
