"""Reading token by token equals reading all at once; padding and other rows are never seen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bark_jax.decoding.loop import read_prompt, read_token, repeat, round_up
from bark_jax.models.binding import bind
from bark_jax.models.gpt import GPT
from bark_jax.runtime.execution import Execution
from bark_jax.runtime.platforms import PLATFORMS
from tests import tiny

CFG = tiny.CONFIG.coarse
PARAMS = tiny.stage_params("coarse")
IDS_BT = np.random.default_rng(0).integers(0, CFG.input_vocab_size, (3, 14))


def model(execution: Execution = tiny.F32) -> GPT:
    return bind(GPT, CFG, execution, params=PARAMS)


@jax.jit
def whole(ids_BT):
    """Output (B, T, D) of one pass without a cache."""
    gpt = model()
    return gpt(gpt.embed(ids_BT))[0]


def read_stepwise(execution, ids_BT, length_B):
    """Outputs (T - P + 1, B, D) after prompts of `length_B` and after each token that follows.

    All rows are padded to P = 9 ids, and go on with what stands behind P in `ids_BT`.
    """
    gpt = model(execution)
    out_BD, context = read_prompt(gpt, gpt.embed(ids_BT[:, :9]), length_B, slots=32)
    outs = [out_BD]
    for t in range(9, ids_BT.shape[1]):
        out_BD, context = read_token(gpt, ids_BT[:, t], context)
        outs.append(out_BD)
    return jnp.stack(outs)


@pytest.fixture(scope="module", params=PLATFORMS)
def stepwise(request):
    """`read_stepwise` with the cache as it lies on each platform."""
    execution = tiny.execution(request.param)
    return jax.jit(lambda ids_BT, length_B: read_stepwise(execution, ids_BT, length_B))


def test_cached_equals_uncached(stepwise):
    outs = stepwise(IDS_BT, jnp.full(3, 9))
    # float32 rounding of values near 1 over two layers: 1e-6 was measured
    np.testing.assert_allclose(outs.swapaxes(0, 1), whole(IDS_BT)[:, 8:], atol=1e-5)


def test_prompts_of_different_lengths_share_a_batch(stepwise):
    """A row's padding is never seen, and its next token takes the position after its prompt."""
    length_B = np.array([9, 4, 6])
    outs = stepwise(IDS_BT, jnp.asarray(length_B))
    real = IDS_BT.copy()
    for row_T, length in zip(real, length_B, strict=True):
        row_T[length : length + 5] = row_T[9:].copy()  # what follows no longer matters: causal
    want_BTD = whole(real)
    for row, length in enumerate(length_B):
        want_TD = want_BTD[row, length - 1 : length + 5]
        np.testing.assert_allclose(outs[:, row], want_TD, atol=1e-5, err_msg=f"row {row}")


def test_what_the_padding_holds_does_not_matter(stepwise):
    other = IDS_BT.copy()
    other[1, 4:9] = 0
    length_B = jnp.array([9, 4, 6])
    np.testing.assert_array_equal(stepwise(other, length_B)[:, 1], stepwise(IDS_BT, length_B)[:, 1])


@pytest.mark.parametrize("block_steps", [1, 4])
def test_repeat_stops_when_told_to_look(block_steps):
    """In blocks, up to a block less one step runs on: steps must bear that."""
    n = jax.jit(lambda n: repeat(lambda n: n + 1, n, lambda n: n < 10, block_steps))(jnp.int32(1))
    assert n == round_up(9, block_steps) + 1


def test_round_up():
    assert [round_up(n) for n in (1, 64, 65)] == [64, 64, 128]
    assert [round_up(n, 32) for n in (0, 1, 32, 33)] == [0, 32, 32, 64]
