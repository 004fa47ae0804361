"""Logits of the three transformers against the original's torch modules, and what would be caught.

Two checks each: equal within rounding, and no longer equal with a GELU or an epsilon that is
nearly right. A tolerance that a mistake passes would prove nothing.
"""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np
import pytest
import torch

from bark_jax.config import FineGPTConfig, GPTConfig
from bark_jax.models import layers
from bark_jax.models.binding import bind
from bark_jax.models.fine_gpt import FineGPT
from bark_jax.models.gpt import GPT
from bark_jax.models.layers import LayerNorm
from bark_jax.params import Params, unflatten
from bark_jax.runtime.execution import Execution
from tests.parity import reference
from tests.parity.reference import VOCABULARIES, random_state

# For scores of spread 1, and growing with it. Measured: 1.8e-6 to 2.8e-6 between torch and jax, as
# between torch in float32 and in float64; 5e-4 with a tanh GELU, 3e-4 with an epsilon of 1e-6.
TOLERANCE = 5e-6
TOLERANCE_SMALL = 2e-5  # 12 layers of 768

RNG = np.random.default_rng(0)


@dataclasses.dataclass
class Pair:
    """One model, twice."""

    theirs: torch.nn.Module
    config: GPTConfig
    params: Params


def make_pair(kind: str, *, bias: bool = False, std: float = 0.15, **sizes: int) -> Pair:
    """Random weights in the original's module and in our names."""
    n_in, n_out = VOCABULARIES[kind]
    args = dict(block_size=1024, input_vocab_size=n_in, output_vocab_size=n_out, bias=bias, **sizes)
    if kind == "fine":
        module = reference.FineGPT(reference.FineGPTConfig(dropout=0.0, **args))
    else:
        module = reference.GPT(reference.GPTConfig(dropout=0.0, **args))
    state = random_state(module, seed=len(kind), std=std)
    module.load_state_dict(state, strict=False)
    params = unflatten(
        {
            name.removeprefix("transformer."): value.numpy()
            for name, value in state.items()
            if not name.startswith("lm_heads.")
        }
    )
    config = (FineGPTConfig if kind == "fine" else GPTConfig)(**args)
    return Pair(module.eval(), config, params)


def causal_logits(pair: Pair, ids: np.ndarray, merged: int) -> np.ndarray:
    """Our scores (T, V) after every position."""

    @jax.jit
    def run(params, ids_BT):
        model = bind(GPT, pair.config, Execution.on("cpu"), params=params)
        x_BTD = model.embed_merged(ids_BT, merged) if merged else model.embed(ids_BT)
        return model.logits(model(x_BTD)[0])

    return np.asarray(run(pair.params, ids[None]))[0]


def causal_error(pair: Pair, ids: np.ndarray, lengths: tuple[int, ...], merged: int = 0) -> float:
    """Greatest difference of the scores after these numbers of ids, for a spread of 1.

    The original gives the scores after the last id only, and ours is causal: one pass of ours is
    compared with many of theirs.
    """
    ours = causal_logits(pair, ids, merged)
    worst = 0.0
    for length in lengths:
        with torch.inference_mode():
            theirs, _ = pair.theirs(torch.from_numpy(ids[None, :length]), merge_context=merged > 0)
        theirs = theirs[0, 0].numpy()
        error = np.abs(ours[length - merged - 1] - theirs).max()
        worst = max(worst, float(error / max(1.0, theirs.std())))
    return worst


def fine_error(pair: Pair, codes_TQ: np.ndarray, codebooks: tuple[int, ...]) -> float:
    """Greatest difference of the scores of all positions, for a spread of 1."""

    @jax.jit
    def run(params, codes_BTQ, codebook):
        model = bind(FineGPT, pair.config, Execution.on("cpu"), params=params)
        return model.logits(model(codes_BTQ, codebook)[0], codebook, pair.config.output_vocab_size)

    worst = 0.0
    for codebook in codebooks:
        ours = np.asarray(run(pair.params, codes_TQ[None], np.int32(codebook)))
        with torch.inference_mode():
            theirs = pair.theirs(codebook, torch.from_numpy(codes_TQ[None])).numpy()
        worst = max(worst, float(np.abs(ours - theirs).max() / max(1.0, theirs.std())))
    return worst


def error_of(pair: Pair, kind: str, is_quick: bool = False) -> float:
    if kind == "text":
        ids = RNG.integers(0, 129_600, 513 + 767)
        return causal_error(pair, ids, (513,) if is_quick else (513, 514, 700, 1280), merged=256)
    if kind == "coarse":
        ids = RNG.integers(0, 12_096, 946)
        return causal_error(pair, ids, (257,) if is_quick else (1, 2, 257, 946))
    codes_TQ = RNG.integers(0, 1025, (1024, 8))  # 1024 is the pad
    return fine_error(pair, codes_TQ, (3,) if is_quick else tuple(range(1, 8)))


@pytest.fixture(scope="module")
def tiny_pairs() -> dict[str, Pair]:
    sizes = dict(n_layer=2, n_head=2, n_embd=32)
    return {kind: make_pair(kind, **sizes) for kind in VOCABULARIES}


@pytest.mark.parametrize("kind", VOCABULARIES)
def test_logits(tiny_pairs, kind):
    assert error_of(tiny_pairs[kind], kind) < TOLERANCE


@pytest.mark.parametrize("kind", ["coarse", "fine"])
def test_logits_with_biases(kind):
    pair = make_pair(kind, n_layer=1, n_head=3, n_embd=24, bias=True)
    assert error_of(pair, kind, is_quick=True) < TOLERANCE


def tanh_gelu(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(layers, "gelu", jax.nn.gelu)  # by its default approximate


def small_epsilon(patch: pytest.MonkeyPatch) -> None:
    """LayerNorm with 1e-6: x is scaled so that 1e-5 then weighs as much as 1e-6 does here."""
    right = LayerNorm.__call__
    patch.setattr(LayerNorm, "__call__", lambda self, x: right(self, x * 10**0.5))


@pytest.mark.parametrize("mistake", [tanh_gelu, small_epsilon])
@pytest.mark.parametrize("kind", VOCABULARIES)
def test_tolerance_catches(tiny_pairs, kind, mistake: Callable, monkeypatch):
    mistake(monkeypatch)
    assert error_of(tiny_pairs[kind], kind, is_quick=True) > 10 * TOLERANCE


def test_the_original_ties_its_heads(tiny_pairs):
    """What lets us store no heads: lm_heads[i] is the table of codebook i + 1."""
    module = tiny_pairs["fine"].theirs
    for i, head in enumerate(module.lm_heads):
        assert head.weight is module.transformer.wtes[i + 1].weight


@pytest.mark.expensive
@pytest.mark.parametrize("kind", VOCABULARIES)
def test_logits_at_the_small_size(kind, monkeypatch):
    """12 layers of 768, as in the small checkpoints; scores then spread by about 0.5."""
    pair = make_pair(kind, n_layer=12, n_head=12, n_embd=768, std=0.02)
    assert error_of(pair, kind) < TOLERANCE_SMALL
    with monkeypatch.context() as patch:
        tanh_gelu(patch)
        assert error_of(pair, kind, is_quick=True) > 10 * TOLERANCE_SMALL
    small_epsilon(monkeypatch)
    assert error_of(pair, kind, is_quick=True) > 10 * TOLERANCE_SMALL
