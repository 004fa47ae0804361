"""Every platform's way of decoding gives what this one's gives."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bark_jax.decoding.loop import read_prompt, read_token
from bark_jax.models.binding import bind
from bark_jax.models.cache import cache_of_prompt, grouped_as
from bark_jax.models.gpt import GPT
from bark_jax.models.layers import matmul
from bark_jax.runtime import platforms as backend
from tests import tiny

CFG = tiny.CONFIG.coarse
PARAMS = tiny.stage_params("coarse")
LENGTHS = (9, 4, 6)
IDS_BT = np.random.default_rng(1).integers(0, CFG.input_vocab_size, (3, 16))


def outputs(rows):
    """Scores (T - 8, B, V) after prompts padded to 9 ids, and after each token that follows."""
    ids_BT, length_B = IDS_BT[:rows], jnp.array(LENGTHS[:rows])

    def read(ids_BT, length_B):
        gpt = bind(GPT, CFG, tiny.F32, params=PARAMS)
        out_BD, context = read_prompt(gpt, gpt.embed(ids_BT[:, :9]), length_B, slots=32)
        outs = [out_BD]
        for t in range(9, ids_BT.shape[1]):
            out_BD, context = read_token(gpt, ids_BT[:, t], context)
            outs.append(out_BD)
        return jnp.stack([gpt.logits(out_BD) for out_BD in outs])

    return jax.jit(read)(ids_BT, length_B)  # a new function every time: nothing stays traced


@pytest.fixture(scope="module")
def here():
    """`outputs` of this platform by number of rows."""
    return {rows: outputs(rows) for rows in (1, 3)}


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("platform", ["gpu", "tpu"])
def test_platforms_agree(here, monkeypatch, platform, rows):
    monkeypatch.setattr(backend, "current", lambda: backend.BACKENDS[platform])
    # float32 rounding of scores up to 8 over two layers: 3.4e-6 was measured
    np.testing.assert_allclose(outputs(rows), here[rows], atol=2e-5)


def test_heads_that_lie_apart_change_nothing(here, monkeypatch):
    apart = dataclasses.replace(backend.current(), least_heads_apart=1)
    monkeypatch.setattr(backend, "current", lambda: apart)
    np.testing.assert_allclose(outputs(3), here[3], atol=2e-5)  # as above


@pytest.mark.parametrize(
    "platform, rows, heads, n_arrays",
    [("cpu", 1, 12, 1), ("cpu", 2, 12, 12), ("cpu", 2, 8, 1), ("gpu", 2, 12, 1)],
)
def test_batches_on_cpu_keep_many_heads_apart(monkeypatch, platform, rows, heads, n_arrays):
    monkeypatch.setattr(backend, "current", lambda: backend.BACKENDS[platform])
    z_BPHK = jnp.zeros((rows, 3, heads, 8))
    cache = cache_of_prompt(z_BPHK, z_BPHK, 16, "float32")
    shape = (rows, heads // n_arrays, 8, 16)
    assert [z.shape for z in jax.tree.leaves(cache)] == [shape] * 2 * n_arrays


def test_a_lone_rows_heads_are_laid_out_as_a_batchs():
    z_BPHK = jnp.asarray(np.random.default_rng(2).normal(size=(2, 3, 12, 8)), jnp.float32)
    batch, lone = (cache_of_prompt(z, z + 1, 16, "float32") for z in (z_BPHK, z_BPHK[:1]))
    laid_out = grouped_as(lone, batch)
    assert jax.tree.structure(laid_out) == jax.tree.structure(batch)
    for got, want in zip(jax.tree.leaves(laid_out), jax.tree.leaves(batch), strict=True):
        np.testing.assert_array_equal(got, want[:1])


def product_shapes(rows, n_out=96, pattern=r"(?:dot|fusion)\(.*dot_general"):
    multiply = jax.jit(lambda x, weight: matmul(x, weight, "float32"))
    text = multiply.lower(jnp.zeros((rows, 64)), jnp.zeros((n_out, 64))).compile().as_text()
    return set(re.findall(rf"= f32\[([\d,]+)\]\S+ {pattern}", text))


def test_a_few_rows_stay_on_the_right_of_their_product():
    """The compiler likes to turn it round, and then reads the weight more than once."""
    assert product_shapes(8) == {"96,8"}
    assert product_shapes(65) == {"65,96"}


def test_a_lone_row_is_multiplied_in_equal_parts():
    """Or the compiler cuts the product into tasks that the cores cannot share evenly."""
    assert product_shapes(1, pattern=r"dot\(") == {"8,1,12"}
    assert product_shapes(1, n_out=90, pattern=r"dot\(") == {"1,90"}  # not divisible by eight


@pytest.mark.parametrize("n_devices, shape", [(1, "8,12"), (2, "1,96")])
def test_a_weight_that_devices_share_stays_whole(n_devices, shape):
    """In parts it would be gathered on every device, in every step."""
    mesh = jax.sharding.AbstractMesh((1, n_devices), ("data", "model"))
    with jax.sharding.use_abstract_mesh(mesh):
        multiply = jax.make_jaxpr(lambda x, weight: matmul(x, weight, "float32"))
        text = str(multiply(jnp.zeros((1, 64)), jnp.zeros((96, 64))))
    assert re.findall(r"f32\[([\d,]+)\]\S* = dot_general", text) == [shape]


@pytest.mark.parametrize("shape", [(1, 64), (1, 1, 64)])
def test_equal_parts_change_nothing(shape):
    rng = np.random.default_rng(3)
    x, weight_OI = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in (shape, (96, 64)))
    got = jax.jit(lambda x: matmul(x, weight_OI, "float32"))(x)
    assert got.shape == (*shape[:-1], 96)
    # float32 rounding of a sum of 64 products of spread 1
    np.testing.assert_allclose(got, np.asarray(x) @ np.asarray(weight_OI).T, atol=1e-5)
