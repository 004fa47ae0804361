"""A model that is nothing like Suno's: other vocabularies, rates, windows and codebook counts.

No two sizes are equal that a mistake could swap. Whatever works here and at Bark's own numbers
takes its numbers from the config.
"""

import dataclasses
import functools
from fractions import Fraction
from typing import Any

import jax
import numpy as np

from bark_jax.config import (
    STAGES,
    BarkConfig,
    CodecConfig,
    FineGPTConfig,
    GPTConfig,
    TokenLayout,
)
from bark_jax.models import encodec
from bark_jax.models.binding import abstract_params
from bark_jax.models.fine_gpt import FineGPT
from bark_jax.models.gpt import GPT
from bark_jax.params import Params, flatten, unflatten
from bark_jax.pipeline import Bark
from bark_jax.runtime.execution import Execution
from bark_jax.runtime.placement import StageParams
from bark_jax.sources.voice_library import VoiceLibrary
from bark_jax.stages.runner import StageRunner
from bark_jax.text import Tokenizer

F32 = Execution.on("cpu")
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
PIECES += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]

LAYOUT = TokenLayout(
    semantic_vocab_size=50,
    semantic_pad_token=50,
    text_encoding_offset=53,
    text_pad_token=53 + len(PIECES),
    semantic_infer_token=53 + len(PIECES) + 1,
    text_length=12,
    max_semantic_tokens=40,
    semantic_rate_hz=Fraction("9.7"),
    n_coarse_codebooks=3,
    codebook_size=20,
    coarse_rate_hz=Fraction(25),
    coarse_semantic_pad_token=111,
    coarse_infer_token=113,
    coarse_semantic_length=16,
    min_coarse_history=6,
    max_coarse_history=90,
    coarse_window=11,
    max_coarse_input=105,
    n_fine_codebooks=5,
    fine_window=64,
    fine_history=28,
    fine_hop=32,
)
CONFIG = BarkConfig(
    semantic=GPTConfig(
        block_size=54,
        input_vocab_size=LAYOUT.semantic_infer_token + 2,
        output_vocab_size=52,
        n_layer=2,
        n_head=2,
        n_embd=12,
    ),
    coarse=GPTConfig(
        block_size=123,
        input_vocab_size=115,
        output_vocab_size=112,
        n_layer=2,
        n_head=3,
        n_embd=18,
        bias=True,
    ),
    fine=FineGPTConfig(
        block_size=66,
        input_vocab_size=23,
        output_vocab_size=23,
        n_layer=1,
        n_head=2,
        n_embd=14,
        n_codes_total=5,
    ),
    codec=CodecConfig(
        sample_rate=200,
        n_filters=2,
        ratios=(4, 2),
        latent_dim=6,
        n_lstm=1,
        codebook_size=20,
        n_codebooks=7,
    ),
    tokens=LAYOUT,
)
MODULES = {"semantic": GPT, "coarse": GPT, "fine": FineGPT}


def random_params(make: Any, *args: Any, seed: int, std: float = 0.4) -> Params:
    """Normal values, around 1 where LayerNorms scale; wide enough for scores that differ."""
    rng = np.random.default_rng(seed)

    def draw(name: str, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        mean = 1.0 if ".ln_" in f".{name}" and name.endswith("weight") else 0.0
        values = rng.normal(mean, std, leaf.shape)
        return jax.device_put(values.astype(leaf.dtype))  # for which nothing is compiled

    abstract = flatten(abstract_params(make, *args))
    return unflatten({name: draw(name, leaf) for name, leaf in abstract.items()})


@functools.cache
def stage_params(stage: str) -> Params:
    """Random parameters of one stage of `CONFIG`."""
    if stage == "codec":
        return random_params(encodec.EnCodec, CONFIG.codec, seed=3)
    seed = ["semantic", "coarse", "fine"].index(stage)
    return random_params(MODULES[stage], getattr(CONFIG, stage), F32, seed=seed)


def execution(platform: str = "cpu", **choices: Any) -> Execution:
    """How a platform computes, in float32, with some choices of its `Platform` changed."""
    usual = Execution.on(platform, "float32")
    return dataclasses.replace(usual, platform=dataclasses.replace(usual.platform, **choices))


def make_bark(*, offload: bool = False, execution: Execution = F32) -> Bark:
    """A `Bark` on `CONFIG`; the codec stays in float32, as everywhere."""

    def load(stage: str) -> Params:
        dtype = "float32" if stage == "codec" else execution.dtypes.params
        return jax.tree.map(
            lambda leaf: jax.device_put(np.asarray(leaf, dtype)), stage_params(stage)
        )

    runner = StageRunner(
        CONFIG,
        {stage: StageParams(functools.partial(load, stage), offload) for stage in STAGES},
        Tokenizer({piece: index for index, piece in enumerate(PIECES)}),
        execution,
        mesh=None,
    )
    return Bark(runner, VoiceLibrary([], LAYOUT))


def make_voice(n_semantic: int = 30, seed: int = 0) -> dict[str, np.ndarray]:
    """A random history prompt."""
    rng = np.random.default_rng(seed)
    n_frames = n_semantic * LAYOUT.coarse_rate_hz // LAYOUT.semantic_rate_hz
    fine = rng.integers(0, LAYOUT.codebook_size, (LAYOUT.n_fine_codebooks, int(n_frames)))
    return {
        "semantic_prompt": rng.integers(0, LAYOUT.semantic_vocab_size, n_semantic),
        "coarse_prompt": fine[: LAYOUT.n_coarse_codebooks],
        "fine_prompt": fine,
    }
