"""Trains a tokenizer of sound; settings are in configs/data/train_semantic_tokenizer.yaml.

Run: python scripts/train_semantic_tokenizer.py manifest=corpus.jsonl out=TOKENIZER kind=kmeans
"""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `scripts` is not installed


@hydra.main(
    version_base="1.3", config_path="../configs/data", config_name="train_semantic_tokenizer"
)
def main(composed: DictConfig) -> None:
    # Here, because the processes that read audio import this file and need none of it.
    from bark_jax.preparation.train_tokenizer import TokenizerSettings, train_tokenizer
    from scripts.compose import from_hydra

    try:
        made, score = train_tokenizer(from_hydra(TokenizerSettings, composed))
    except (ValueError, OSError, RuntimeError, ImportError, OmegaConfBaseException) as error:
        sys.exit(f"error: {error}")
    means = "of the variance is left unexplained" if made.kind == "kmeans" else "of frames right"
    print(f"{made.vocab_size} tokens at {float(made.rate_hz):g} Hz, {score:.1%} {means}")


if __name__ == "__main__":
    main()
