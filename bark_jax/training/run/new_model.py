"""A new model directory for training from scratch: sizes from a config, token ids from the data.

The data say what a record's numbers mean (`manifest.TokenSpec`), so that any size of model fits any
data; only the networks' sizes and the windows are chosen.
"""

import dataclasses
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from bark_jax.config import STAGES, BarkConfig, TokenLayout, from_dict
from bark_jax.data.manifest import TokenSpec
from bark_jax.sources.untrained import write_random
from bark_jax.text import Tokenizer

PARTS = {"tokens", *STAGES}  # of a new model's settings


def new_config(sizes: Mapping[str, Any], spec: TokenSpec, n_pieces: int) -> BarkConfig:
    """The config of a new model.

    Args:
      sizes: `semantic`, `coarse`, `fine`: n_layer, n_head, n_embd; `codec`: fields of
        `CodecConfig`; `tokens`: lengths and windows of `TokenLayout`. Vocabulary sizes and
        positions follow.
      spec: what the data's numbers mean.
      n_pieces: of the text vocabulary.
    Raises:
      ValueError: sizes that do not fit each other, or unknown ones; names them.
    """
    if unknown := sizes.keys() - PARTS:
        raise ValueError(f"model has no part {sorted(unknown)}; it has {sorted(PARTS)}")
    layout = _layout(sizes.get("tokens") or {}, spec, n_pieces)
    coarse_ids = 1 + max(layout.coarse_semantic_pad_token, layout.coarse_infer_token)
    by_stage = {
        "semantic": {
            "block_size": layout.text_length + 1 + layout.max_semantic_tokens,
            "input_vocab_size": layout.semantic_infer_token + 1,
            "output_vocab_size": layout.semantic_vocab_size + 1,
        },
        "coarse": {
            "block_size": layout.coarse_semantic_length + 1 + layout.max_coarse_input,
            "input_vocab_size": coarse_ids,
            "output_vocab_size": coarse_ids,
        },
        "fine": {
            "block_size": layout.fine_window,
            "input_vocab_size": layout.codebook_size + 1,
            "output_vocab_size": layout.codebook_size + 1,
            "n_codes_total": layout.n_fine_codebooks,
        },
        "codec": {
            "sample_rate": spec.sample_rate,
            "codebook_size": layout.codebook_size,
            "n_codebooks": layout.n_fine_codebooks,
        },
    }
    try:
        parts = {stage: {**made, **(sizes.get(stage) or {})} for stage, made in by_stage.items()}
        config = from_dict(BarkConfig, {**parts, "tokens": layout})
    except TypeError as error:
        raise ValueError(f"model: {error}") from error
    if config.codec.frame_rate_hz != spec.frame_rate_hz:
        raise ValueError(
            f"model.codec.ratios={config.codec.ratios} at {spec.sample_rate} Hz give "
            f"{config.codec.frame_rate_hz} frames per second; the data have {spec.frame_rate_hz}"
        )
    return config


def write_new_model(directory: Path, config: BarkConfig, tokenizer: Tokenizer) -> None:
    """Writes a model of random values; training a stage draws its own to start from."""
    write_random(directory, config, source={"untrained_stages": list(STAGES)})
    tokenizer.save(directory / "tokenizer")


def find_tokenizer(given: str | None, data: Path, spec: TokenSpec) -> Tokenizer:
    """The text vocabulary of a new model: from the given directory, or the one beside the data.

    Raises:
      FileNotFoundError: there is none.
      ValueError: it is not the one that the data were made with.
    """
    directory = Path(given).expanduser() if given else data / "tokenizer"
    tokenizer = Tokenizer.from_directory(directory)
    if tokenizer.sha256 != spec.text_vocab_sha256:
        raise ValueError(
            f"model.tokenizer={str(directory)!r} is not the vocabulary of the data's texts"
        )
    return tokenizer


def _layout(chosen: Mapping[str, Any], spec: TokenSpec, n_pieces: int) -> TokenLayout:
    """Ids one after the other: semantic tokens, pad, text, text pad, infer; likewise coarse."""
    n_semantic = spec.semantic_vocab_size
    first_text = n_semantic + 1
    n_coarse = chosen.get("n_coarse_codebooks", TokenLayout.n_coarse_codebooks)
    behind_codes = n_semantic + n_coarse * spec.codebook_size
    follows = {
        "semantic_vocab_size": n_semantic,
        "semantic_pad_token": n_semantic,
        "text_encoding_offset": first_text,
        "text_pad_token": first_text + n_pieces,
        "semantic_infer_token": first_text + n_pieces + 1,
        "semantic_rate_hz": spec.semantic_rate_hz,
        "codebook_size": spec.codebook_size,
        "coarse_rate_hz": spec.frame_rate_hz,
        "coarse_semantic_pad_token": behind_codes,
        "coarse_infer_token": behind_codes + 1,
        "n_fine_codebooks": spec.n_codebooks,
    }
    if clash := follows.keys() & chosen.keys():
        raise ValueError(f"model.tokens: {sorted(clash)} follow from the data")
    try:
        return dataclasses.replace(TokenLayout(**follows), **_numbers(chosen))
    except TypeError as error:
        raise ValueError(f"model.tokens: {error}") from error


def _numbers(chosen: Mapping[str, Any]) -> dict[str, int | Fraction]:
    for name, value in chosen.items():
        if not isinstance(value, int):
            raise ValueError(f"model.tokens.{name}={value!r} is not a whole number")
    return dict(chosen)
