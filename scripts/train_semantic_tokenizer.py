"""Trains a tokenizer of sound; settings are in configs/data/train_semantic_tokenizer.yaml.

Run: python scripts/train_semantic_tokenizer.py manifest=corpus.jsonl out=TOKENIZER kind=kmeans
"""

from launch import Composed, launch


def main(composed: Composed) -> None:
    # Imported here because the processes that read audio import this file and need none of it.
    from bark_jax.preparation.train_tokenizer import TokenizerSettings, train_tokenizer
    from scripts.compose import from_hydra

    made, score = train_tokenizer(from_hydra(TokenizerSettings, composed))
    means = "of the variance is left unexplained" if made.kind == "kmeans" else "of frames right"
    print(f"{made.vocab_size} tokens at {float(made.rate_hz):g} Hz, {score:.1%} {means}")


if __name__ == "__main__":
    launch(main, "data/train_semantic_tokenizer", extra="train")
