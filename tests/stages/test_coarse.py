"""The coarse token loop on a tiny model: rows and segments, however the loop is cut into calls."""

import numpy as np

from bark_jax.decoding.noise import KeyNoise
from bark_jax.sampling_config import BARK, per_row
from bark_jax.stages.coarse import generate_coarse
from bark_jax.stages.coarse_plan import make_plan
from tests import tiny

L = tiny.LAYOUT


def run(*lengths, window=L.coarse_window, report=None, execution=tiny.F32):
    """Codes (Q, T) of rows with so many semantic tokens."""
    rng = np.random.default_rng(0)
    semantic = [rng.integers(0, L.semantic_vocab_size, n).astype(np.int32) for n in lengths]
    return generate_coarse(
        tiny.stage_params("coarse"),
        [make_plan(tokens, None, L, L.max_coarse_history) for tokens in semantic],
        per_row("coarse", BARK.coarse, len(lengths)),
        KeyNoise.of(list(range(len(lengths))), "coarse"),
        cfg=tiny.CONFIG,
        execution=execution,
        window=window,
        report=report,
    )


def test_steps_past_the_end_of_a_segment_leave_no_trace():
    """The first has 98 tokens, in an array of 105: with blocks of 16 steps it is drawn to 113."""
    (want_QT,) = run(42, window=14)
    (codes_QT,) = run(42, window=14, execution=tiny.execution(block_steps=16))
    np.testing.assert_array_equal(codes_QT, want_QT)
