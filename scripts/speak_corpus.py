"""Lets flite speak sentences, for training; settings are in configs/nano/speak_corpus.yaml.

Run: python scripts/speak_corpus.py out=CORPUS texts=lines.txt n_sentences=100
The same command again goes on with a run that was interrupted.
"""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `nano` is not installed

from nano.corpus import CorpusSettings, write_corpus
from scripts.compose import from_hydra


@hydra.main(version_base="1.3", config_path="../configs/nano", config_name="speak_corpus")
def main(composed: DictConfig) -> None:
    try:
        with open_dict(composed):
            out = Path(composed.pop("out"))
        manifest = write_corpus(out, from_hydra(CorpusSettings, composed))
    except (ValueError, OSError, RuntimeError, OmegaConfBaseException) as error:
        sys.exit(f"error: {error}")
    print(f"wrote {manifest}")


if __name__ == "__main__":
    main()
