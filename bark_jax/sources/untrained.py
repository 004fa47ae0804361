"""A tiny model with random weights: the whole pipeline in seconds, and a test of it.

Untrained weights give noise. Nearly all of its sizes differ from Bark's, so it shows that the code
takes them from the config.
"""

import re
import string
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bark_jax.checkpoint import FORMAT, save_config, save_stage
from bark_jax.config import BarkConfig, CodecConfig, FineGPTConfig, GPTConfig, TokenLayout
from bark_jax.models.binding import abstract_params
from bark_jax.models.encodec import EnCodec
from bark_jax.models.fine_gpt import FineGPT
from bark_jax.models.gpt import GPT
from bark_jax.params import Params, flatten, unflatten
from bark_jax.runtime.execution import Execution
from bark_jax.runtime.paths import build_in_cache, cache_path
from bark_jax.text import VOCAB_FILE

VERSION = 1  # raise it when the model changes
ACCENTED = [char for char in map(chr, range(0xC0, 0x180)) if char.isalpha()]
MARKS = "¡¿«»–—‘’“”„…♪"  # noqa: RUF001
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def ensure_untrained() -> Path:
    """The directory of the untrained model, made in the per-user cache at the first call."""
    name = f"untrained-{VERSION}-{FORMAT.replace('/', '-')}"
    return build_in_cache(cache_path("models", name), write_untrained)


def write_untrained(directory: Path) -> None:
    """Writes the untrained model; always the same one."""
    write_random(directory, untrained_config(len(vocabulary())))


def write_random(
    directory: Path, config: BarkConfig, std: float = 0.15, source: Mapping[str, Any] | None = None
) -> None:
    """Writes a model of any size whose weights are normal values of standard deviation `std`.

    Args:
      source: what `config.json` says about the model, besides that it is untrained.
    """
    (directory / "tokenizer").mkdir(parents=True)
    text = "\n".join(vocabulary()) + "\n"
    (directory / "tokenizer" / VOCAB_FILE).write_text(text, encoding="utf-8")
    execution = Execution.on("cpu")
    models = {
        "semantic": (GPT, config.semantic, execution),
        "coarse": (GPT, config.coarse, execution),
        "fine": (FineGPT, config.fine, execution),
        "codec": (EnCodec, config.codec),
    }
    rng = np.random.default_rng(0)
    for stage, model in models.items():
        save_stage(directory, stage, _random_params(abstract_params(*model), rng, std))
    save_config(directory, config, {"untrained": True, **(source or {})})


def _random_params(shapes: Params, rng: np.random.Generator, std: float) -> Params:
    """Values around the usual ones, drawn by NumPy because compiling `init_params` takes 20 s."""
    flat = flatten(shapes)
    for name, leaf in flat.items():
        is_gain = name.endswith("weight_g") or re.search(r"(^|\.)ln_\w+\.weight$", name)
        noise = std * rng.standard_normal(leaf.shape)
        flat[name] = jax.device_put((1 + noise if is_gain else noise).astype(leaf.dtype))
    return unflatten(flat)


def vocabulary() -> list[str]:
    """Pieces of one character: words of the Latin script, digits and punctuation."""
    letters = [*string.ascii_letters, *string.digits, *ACCENTED]
    marks = [*string.punctuation, *MARKS]
    return [*SPECIAL, *letters, *marks, *(f"##{letter}" for letter in letters)]


def untrained_config(n_pieces: int) -> BarkConfig:
    """Small sizes, different from each other where they could be mixed up."""
    tokens = TokenLayout(
        semantic_vocab_size=72,
        semantic_pad_token=72,
        text_encoding_offset=80,
        text_pad_token=80 + n_pieces,
        semantic_infer_token=81 + n_pieces,
        text_length=64,
        max_semantic_tokens=56,
        semantic_rate_hz=Fraction(25),
        n_coarse_codebooks=2,
        codebook_size=48,
        coarse_rate_hz=Fraction(50),
        coarse_semantic_pad_token=72 + 2 * 48,
        coarse_infer_token=72 + 2 * 48 + 1,
        coarse_semantic_length=32,
        min_coarse_history=12,
        max_coarse_history=84,
        coarse_window=20,
        max_coarse_input=104,
        n_fine_codebooks=4,
        fine_window=96,
        fine_history=40,
        fine_hop=40,
    )
    coarse_vocab_size = tokens.coarse_infer_token + 1
    return BarkConfig(
        semantic=GPTConfig(
            block_size=120, input_vocab_size=82 + n_pieces, output_vocab_size=73,
            n_layer=2, n_head=2, n_embd=32,
        ),
        coarse=GPTConfig(
            block_size=136, input_vocab_size=coarse_vocab_size,
            output_vocab_size=coarse_vocab_size, n_layer=3, n_head=4, n_embd=48,
        ),
        fine=FineGPTConfig(
            block_size=96, input_vocab_size=50, output_vocab_size=50,
            n_layer=1, n_head=2, n_embd=24, n_codes_total=4,
        ),
        codec=CodecConfig(
            n_filters=4, ratios=(8, 5, 4, 3), latent_dim=16, codebook_size=48, n_codebooks=4
        ),
        tokens=tokens,
    )  # fmt: skip
