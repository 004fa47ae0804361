"""Has flite speak sentences, for training; settings are in configs/nano/speak_corpus.yaml.

Run: python scripts/speak_corpus.py out=CORPUS texts=lines.txt n_sentences=100
The same command again resumes a run that was interrupted.
"""

import sys
from pathlib import Path

import checkout  # noqa: F401  puts it on the path

from bark_jax.programs.launch import Composed, launch


def main(composed: Composed) -> None:
    from omegaconf import open_dict

    from bark_jax.programs.compose import from_hydra
    from nano.corpus import CorpusSettings, write_corpus

    with open_dict(composed):
        out = Path(composed.pop("out"))
    print(f"wrote {write_corpus(out, from_hydra(CorpusSettings, composed))}")


if __name__ == "__main__":
    launch(main, "nano/speak_corpus", sys.argv[1:], extra="eval,train", resumes=True)
