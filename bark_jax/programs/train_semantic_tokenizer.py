"""Trains a tokenizer of sound; settings are in configs/data/train_semantic_tokenizer.yaml.

Run: bark-jax train-semantic-tokenizer manifest=corpus.jsonl out=TOKENIZER kind=kmeans
"""

from collections.abc import Sequence

from bark_jax.programs.launch import Composed, launch


def run(composed: Composed) -> None:
    # Imported here because the processes that read audio import this file and need none of it.
    from bark_jax.preparation.train_tokenizer import TokenizerSettings, train_tokenizer
    from bark_jax.programs.compose import from_hydra

    made, score = train_tokenizer(from_hydra(TokenizerSettings, composed))
    means = "of the variance is left unexplained" if made.kind == "kmeans" else "of frames right"
    print(f"{made.vocab_size} tokens at {float(made.rate_hz):g} Hz, {score:.1%} {means}")


def main(argv: Sequence[str]) -> None:
    launch(run, "data/train_semantic_tokenizer", argv, extra="train")
