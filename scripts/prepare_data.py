"""Makes training records of recordings; settings are in configs/data/prepare_data.yaml.

Run: python scripts/prepare_data.py manifest=corpus.jsonl out=DATA model.source=MODEL
The same command again goes on with a run that was interrupted.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `scripts` is not installed


if TYPE_CHECKING:
    from bark_jax.data.manifest import Manifest


def report(manifest: "Manifest", out: str) -> None:
    """Prints what was made."""
    for split, counts in manifest.counts.items():
        print(f"{split}: {manifest.n_records(split)} records, {counts['audio_s'] / 60:.1f} minutes")
    if manifest.n_skipped:
        print(f"{manifest.n_skipped} rows skipped, with the reasons: {Path(out) / 'skipped.jsonl'}")


@hydra.main(version_base="1.3", config_path="../configs/data", config_name="prepare_data")
def main(composed: DictConfig) -> None:
    # Here, because the processes that read audio import this file and need none of it.
    from bark_jax.preparation.prepare import PrepareSettings, prepare
    from scripts.compose import from_hydra

    try:
        settings = from_hydra(PrepareSettings, composed)
        report(prepare(settings), settings.out)
    except (ValueError, OSError, RuntimeError, ImportError, OmegaConfBaseException) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on from what is finished")


if __name__ == "__main__":
    main()
