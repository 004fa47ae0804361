"""Every formulation gives what the reference gives, and is laid out as its figures want it."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bark_jax.decoding.loop import read_prompt, read_token
from bark_jax.formulations.cpu import Cpu
from bark_jax.formulations.cpu_kernels import CpuKernels
from bark_jax.formulations.reference import Reference
from bark_jax.formulations.tpu import Tpu
from bark_jax.models.binding import bind
from bark_jax.models.gpt import GPT
from tests import tiny

CFG = tiny.CONFIG.coarse
PARAMS = tiny.stage_params("coarse")
LENGTHS = (9, 4, 6)
FORMULATIONS = [Reference(), Cpu(), Cpu(least_separate_heads=1), Tpu(), CpuKernels()]
IDS_BT = np.random.default_rng(1).integers(0, CFG.input_vocab_size, (3, 12))


def outputs(formulation, rows):
    """Scores (T - 8, B, V) after prompts padded to 9 ids, and after each token that follows."""
    execution = dataclasses.replace(tiny.F32, formulation=formulation)

    @jax.jit
    def read(ids_BT, length_B):
        gpt = bind(GPT, CFG, execution, params=PARAMS)
        out_BD, context = read_prompt(gpt, gpt.embed(ids_BT[:, :9]), length_B, slots=32)
        outs = [out_BD]
        for t in range(9, ids_BT.shape[1]):
            out_BD, context = read_token(gpt, ids_BT[:, t], context)
            outs.append(out_BD)
        return jnp.stack([gpt.logits(out_BD) for out_BD in outs])

    return read(IDS_BT[:rows], jnp.array(LENGTHS[:rows]))


@pytest.fixture(scope="module")
def reference():
    """`outputs` of the reference by number of rows."""
    return {rows: outputs(Reference(), rows) for rows in (1, 3)}


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("formulation", FORMULATIONS[1:])
def test_formulations_agree(reference, formulation, rows):
    # float32 rounding of scores up to 8 over two layers: 3.4e-6 was measured
    np.testing.assert_allclose(outputs(formulation, rows), reference[rows], atol=2e-5)


@pytest.mark.parametrize("is_causal", [True, False])
def test_attention_over_a_sequence_agrees(is_causal):
    rng = np.random.default_rng(4)
    qkv = [jnp.asarray(rng.normal(size=(2, 7, 3, 8)), jnp.float32) for _ in range(3)]
    want = Reference().attend_sequence(*qkv, is_causal, "float32")
    for formulation in FORMULATIONS[1:]:
        got = formulation.attend_sequence(*qkv, is_causal, "float32")
        np.testing.assert_allclose(got, want, atol=2e-6)  # sums of 7 values near 1


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_rows_are_the_tables(formulation, dtype):
    table_RC = np.random.default_rng(3).integers(-127, 128, (9, 4)).astype(dtype)
    for ids in ([7], [[7]], [7, 0], [[1, 8], [8, 3]]):
        got = formulation.look_up(jnp.asarray(table_RC), jnp.asarray(ids))
        np.testing.assert_array_equal(got, table_RC[np.array(ids)])
    got = formulation.rows_from(jnp.asarray(table_RC), jnp.int32(2), 5)
    np.testing.assert_array_equal(got, table_RC[2:7])


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_results_are_float32_whatever_the_products_are_in(formulation):
    x, weight_OI = jnp.ones((2, 8)), jnp.ones((4, 8), jnp.bfloat16)
    assert formulation.linear(x, weight_OI, "bfloat16").dtype == jnp.float32
    z_BTHK = jnp.ones((1, 5, 2, 4))
    mixed = formulation.attend_sequence(z_BTHK, z_BTHK, z_BTHK, True, "bfloat16")
    cache = formulation.cache_of_prompt(z_BTHK, z_BTHK, 8, "bfloat16")
    one, visible_BM = z_BTHK[:, :1], jnp.ones((1, 8), bool)
    step, _ = formulation.attend_cache(one, one, one, cache, visible_BM, jnp.int32(5), "bfloat16")
    assert mixed.dtype == step.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(cache)} == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize(
    "formulation, rows, heads, n_arrays", [(Cpu(), 1, 12, 1), (Cpu(), 2, 12, 12), (Cpu(), 2, 8, 1)]
)
def test_batches_on_cpu_have_a_cache_per_head(formulation, rows, heads, n_arrays):
    z_BPHK = jnp.zeros((rows, 3, heads, 8))
    cache = formulation.cache_of_prompt(z_BPHK, z_BPHK, 16, "float32")
    shape = (rows, heads // n_arrays, 8, 16)
    assert [z.shape for z in jax.tree.leaves(cache)] == [shape] * 2 * n_arrays


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_a_single_rows_cache_is_laid_out_as_a_batchs(formulation):
    z_BPHK = jnp.asarray(np.random.default_rng(2).normal(size=(2, 3, 12, 8)), jnp.float32)
    batch, single = (
        formulation.cache_of_prompt(z, z + 1, 16, "float32") for z in (z_BPHK, z_BPHK[:1])
    )
    laid_out = single.laid_out_like(batch)
    assert jax.tree.structure(laid_out) == jax.tree.structure(batch)
    for got, want in zip(jax.tree.leaves(laid_out), jax.tree.leaves(batch), strict=True):
        np.testing.assert_array_equal(got, want[:1])


def product_shapes(rows, n_out=96, pattern=r"(?:dot|fusion)\(.*dot_general", formulation=None):
    """Shapes of the compiled products of so many rows."""
    by = formulation or Cpu()
    multiply = jax.jit(lambda x, weight: by.linear(x, weight, "float32"))
    text = multiply.lower(jnp.zeros((rows, 64)), jnp.zeros((n_out, 64))).compile().as_text()
    return set(re.findall(rf"= f32\[([\d,]+)\]\S+ {pattern}", text))


def test_products_of_a_few_rows_are_transposed():
    """The compiler likes to turn them round, and then reads the weight more than once."""
    assert product_shapes(8) == {"96,8"}
    assert product_shapes(65) == {"65,96"}


def test_a_single_row_is_multiplied_in_equal_parts():
    """Or the compiler cuts the product into tasks that the cores cannot share evenly."""
    assert product_shapes(1, pattern=r"dot\(") == {"8,1,12"}
    assert product_shapes(1, n_out=90, pattern=r"dot\(") == {"1,90"}  # not divisible by eight
    assert product_shapes(1, pattern=r"dot\(", formulation=Cpu(single_row_parts=1)) == {"1,96"}


@pytest.mark.parametrize("shape", [(1, 64), (1, 1, 64)])
@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_products_of_a_single_row_agree(formulation, shape):
    rng = np.random.default_rng(3)
    x, weight_OI = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in (shape, (96, 64)))
    got = jax.jit(lambda x: formulation.linear(x, weight_OI, "float32"))(x)
    assert got.shape == (*shape[:-1], 96)
    # float32 rounding of a sum of 64 products of spread 1
    np.testing.assert_allclose(got, np.asarray(x) @ np.asarray(weight_OI).T, atol=1e-5)


def test_gradients_of_kernels_are_those_of_xla():
    rng = np.random.default_rng(5)
    qkv = [jnp.asarray(rng.normal(size=(1, 5, 2, 4)), jnp.float32) for _ in range(3)]

    def loss(formulation, *qkv):
        return jnp.square(formulation.attend_sequence(*qkv, True, "float32")).sum()

    want = jax.grad(loss, argnums=(1, 2, 3))(Cpu(), *qkv)
    got = jax.grad(loss, argnums=(1, 2, 3))(CpuKernels(), *qkv)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)  # the same program, at outputs 3e-7 apart


def test_gradients_of_products_of_few_rows_are_those_of_xla():
    rng = np.random.default_rng(6)
    x, weight_OI = (jnp.asarray(rng.normal(size=size), jnp.float32) for size in ((3, 1, 5), (4, 5)))

    def loss(formulation, x, weight_OI):
        return jnp.square(formulation.linear(x, weight_OI, "float32")).sum()

    want = jax.grad(loss, argnums=(1, 2))(Cpu(), x, weight_OI)
    got = jax.grad(loss, argnums=(1, 2))(CpuKernels(), x, weight_OI)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)  # the same program, at outputs 3e-7 apart
