"""Processors against Hugging Face's, on 1,000 rows of random logits."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers.generation import logits_process as theirs

from bark_jax.processors import (
    Ban,
    Bias,
    DrawContext,
    MinLength,
    MinP,
    RepetitionPenalty,
    TopK,
    Typical,
)
from bark_jax.processors.rows import apply_steps, steps_of

ROWS, V, DRAWN, END = 1000, 101, 12, 100
rng = np.random.default_rng(0)
LOGITS_BV = rng.normal(0, 3, (ROWS, V)).astype(np.float32)
DRAWN_BN = rng.integers(0, V, (ROWS, DRAWN)).astype(np.int32)


def ours(processors) -> np.ndarray:
    n_B = jnp.full(ROWS, DRAWN, jnp.int32)
    context = DrawContext(n_B, 0, END, [(jnp.asarray(DRAWN_BN), n_B)])
    steps = steps_of([processors] * ROWS)
    return np.asarray(apply_steps(jnp.asarray(LOGITS_BV), steps, lambda: context))


@pytest.mark.parametrize(
    "processors, oracles",
    [
        ([MinP(0.05)], [theirs.MinPLogitsWarper(0.05)]),
        ([Typical(0.6)], [theirs.TypicalLogitsWarper(0.6)]),
        ([TopK(7)], [theirs.TopKLogitsWarper(7)]),
        ([RepetitionPenalty(1.3)], [theirs.RepetitionPenaltyLogitsProcessor(1.3)]),
        ([Ban([17, 3])], [theirs.SuppressTokensLogitsProcessor([17, 3])]),
        ([Bias([4, 9], [1.5, -2])], [theirs.SequenceBiasLogitsProcessor({(4,): 1.5, (9,): -2.0})]),
        ([MinLength(DRAWN + 1)], [theirs.MinLengthLogitsProcessor(DRAWN + 1, END)]),
        ([MinLength(DRAWN)], [theirs.MinLengthLogitsProcessor(DRAWN, END)]),
        (
            [RepetitionPenalty(0.8), MinP(0.1), Typical(0.9)],
            [
                theirs.RepetitionPenaltyLogitsProcessor(0.8),
                theirs.MinPLogitsWarper(0.1),
                theirs.TypicalLogitsWarper(0.9),
            ],
        ),
    ],
)
def test_as_hugging_face(processors, oracles):
    want = torch.tensor(LOGITS_BV)
    for oracle in oracles:
        want = oracle(torch.tensor(DRAWN_BN, dtype=torch.int64), want)
    # what is dropped must be the same in every row; what is kept has one rounding of a product
    np.testing.assert_allclose(ours(processors), want.numpy(), rtol=1e-6)
