"""Has flite speak sentences, for training; settings are in configs/nano/speak_corpus.yaml.

Run: python scripts/speak_corpus.py out=CORPUS texts=lines.txt n_sentences=100
The same command again resumes a run that was interrupted.
"""

from pathlib import Path

from launch import Composed, launch


def main(composed: Composed) -> None:
    from omegaconf import open_dict

    from nano.corpus import CorpusSettings, write_corpus
    from scripts.compose import from_hydra

    with open_dict(composed):
        out = Path(composed.pop("out"))
    print(f"wrote {write_corpus(out, from_hydra(CorpusSettings, composed))}")


if __name__ == "__main__":
    launch(main, "nano/speak_corpus", extra="eval,train", resumes=True)
