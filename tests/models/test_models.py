"""What the transformers compute, without a reference: cache, causality, ties, sums, formats.

Against the original: parity/test_models_parity.py.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bark_jax.config import FineGPTConfig, GPTConfig
from bark_jax.models.binding import abstract_params, bind, init_params
from bark_jax.models.fine_gpt import FineGPT
from bark_jax.models.gpt import GPT
from bark_jax.models.layers import LayerNorm, Linear
from bark_jax.params import flatten, unflatten
from bark_jax.runtime.execution import DTypes, Execution
from tests import tiny

BF16 = Execution.on("cpu", "bfloat16")
CAUSAL, FINE = tiny.CONFIG.semantic, tiny.CONFIG.fine
CAUSAL_PARAMS, FINE_PARAMS = tiny.stage_params("semantic"), tiny.stage_params("fine")
RNG = np.random.default_rng(0)
CODES_BTQ = RNG.integers(0, 20, (2, 9, FINE.n_codes_total))


@functools.partial(jax.jit, static_argnames="execution")
def causal_logits(x_BTD, params=CAUSAL_PARAMS, execution=tiny.F32):
    model = bind(GPT, CAUSAL, execution, params=params)
    out_BTD, _ = model(x_BTD)
    return model.logits(out_BTD)


@functools.partial(jax.jit, static_argnames="execution")
def fine_logits(codes_BTQ, codebook, params=FINE_PARAMS, execution=tiny.F32):
    model = bind(FineGPT, FINE, execution, params=params)
    return model.logits(model(codes_BTQ, codebook)[0], codebook, FINE.output_vocab_size)


def with_leaf(params, name, change):
    """A copy of nested `params` with the leaf of this dotted name changed."""
    flat = flatten(params)
    return unflatten({**flat, name: change(flat[name])})


def test_no_position_sees_a_later_one():
    """The gradient of a position's scores vanishes behind that position, and only there."""
    x_BTD = jnp.asarray(RNG.normal(size=(1, 8, CAUSAL.n_embd)), jnp.float32)
    gradient = jax.jit(jax.grad(lambda x, t: jnp.square(causal_logits(x)[0, t]).sum()))
    for t in (0, 3, 7):
        size_T = np.abs(gradient(x_BTD, t)[0]).sum(-1)
        assert (size_T[: t + 1] > 0).all()
        assert not size_T[t + 1 :].any()


def test_fine_positions_see_all_others():
    x_BTHK = jnp.asarray(RNG.normal(size=(1, 5, 2, 4)), jnp.float32)

    def first(v_BTHK):
        mixed_BTHK = tiny.F32.attend_sequence(x_BTHK, x_BTHK, v_BTHK, is_causal=False)
        return jnp.square(mixed_BTHK[0, 0]).sum()

    assert (np.abs(jax.jit(jax.grad(first))(x_BTHK)[0]).sum((-2, -1)) > 0).all()
    other = CODES_BTQ.copy()
    other[:, -1, 0] = (other[:, -1, 0] + 1) % 20
    changed = np.asarray(fine_logits(other, 1) != fine_logits(CODES_BTQ, 1))
    assert changed.any(-1).all(), "a change of the last frame must reach every frame"


@pytest.mark.parametrize("codebook", range(1, FINE.n_codes_total))
def test_fine_input_is_the_sum_up_to_the_predicted_codebook(codebook):
    """The predicted codebook itself is part of the sum, those behind it are not."""
    base = fine_logits(CODES_BTQ, codebook)
    for q in range(FINE.n_codes_total):
        other = CODES_BTQ.copy()
        other[..., q] = (other[..., q] + 1) % 20
        is_used = bool((fine_logits(other, codebook) != base).any())
        assert is_used == (q <= codebook), f"codebook {q}"


@pytest.mark.parametrize("codebook", range(1, FINE.n_codes_total))
def test_fine_head_is_the_embedding_table_of_the_codebook(codebook):
    """A row that no input uses changes the score of its id alone, and only in the own table."""
    unused = 21
    base = fine_logits(CODES_BTQ, codebook)
    for q in range(FINE.n_codes_total):
        params = with_leaf(FINE_PARAMS, f"wtes.{q}.weight", lambda w: w.at[unused].mul(2.0))
        got = fine_logits(CODES_BTQ, codebook, params)
        want = base.at[..., unused].mul(2.0) if q == codebook else base
        np.testing.assert_allclose(got, want, rtol=1e-6)  # a doubled product, exact up to its order


def test_fine_model_stores_no_heads():
    names = flatten(abstract_params(FineGPT, FINE, tiny.F32)).keys()
    assert not [name for name in names if "lm_head" in name]


def test_fine_model_wants_equal_vocabularies():
    cfg = dataclasses.replace(FINE, output_vocab_size=22)
    with pytest.raises(ValueError, match="tied heads want output_vocab_size=22 equal to"):
        init_params(FineGPT, cfg, tiny.F32, key=jax.random.key(0))


def test_the_causal_head_is_not_tied():
    x_BTD = jnp.asarray(RNG.normal(size=(1, 3, CAUSAL.n_embd)), jnp.float32)
    other = with_leaf(CAUSAL_PARAMS, "wte.weight", lambda w: np.asarray(w) + 1)
    np.testing.assert_array_equal(causal_logits(x_BTD), causal_logits(x_BTD, other))
    names = flatten(CAUSAL_PARAMS)
    assert names["lm_head.weight"].shape == (CAUSAL.output_vocab_size, CAUSAL.n_embd)


def test_text_and_history_are_summed():
    """2 x 12 + 3 ids become 12 + 3 positions; swapping text and history changes nothing."""
    ids_BT = RNG.integers(0, CAUSAL.input_vocab_size, (2, 27))
    model = bind(GPT, CAUSAL, tiny.F32, params=CAUSAL_PARAMS)
    x_BPD = model.embed_merged(ids_BT, 12)
    table = np.asarray(flatten(CAUSAL_PARAMS)["wte.weight"])
    np.testing.assert_array_equal(x_BPD[:, :12], table[ids_BT[:, :12]] + table[ids_BT[:, 12:24]])
    np.testing.assert_array_equal(x_BPD[:, 12:], table[ids_BT[:, 24:]])


def test_scores_of_a_slice_are_the_slice_of_the_scores():
    x_BD = jnp.asarray(RNG.normal(size=(2, CAUSAL.n_embd)), jnp.float32)
    model = bind(GPT, CAUSAL, tiny.F32, params=CAUSAL_PARAMS)
    whole = model.logits(x_BD)
    # another shape may add in another order: a few units in the last place of values near 1
    np.testing.assert_allclose(model.logits(x_BD, 7, 11), whole[:, 7:18], atol=1e-6)


def test_layer_norm_divides_by_the_biased_variance_plus_1e_5():
    """At a variance of 1e-5 the epsilon halves the square: 1e-6 (Flax's default) would not."""
    x = jnp.array([[-1.0, 1.0]]) * np.sqrt(1e-5)
    norm = LayerNorm(2, False, tiny.F32)  # new: weights are 1
    np.testing.assert_allclose(norm(x), [[-np.sqrt(0.5), np.sqrt(0.5)]], rtol=1e-5)


def test_biases_are_where_the_config_says():
    def biases(make, cfg):
        return {n for n in flatten(abstract_params(make, cfg, tiny.F32)) if n.endswith("bias")}

    assert not biases(GPT, CAUSAL)
    with_bias = biases(GPT, dataclasses.replace(CAUSAL, bias=True))
    assert {"h.0.attn.c_attn.bias", "h.0.ln_1.bias", "ln_f.bias"} <= with_bias
    assert "lm_head.bias" not in with_bias
    # the fine model's LayerNorms always have one
    assert biases(FineGPT, FINE) == {"h.0.ln_1.bias", "h.0.ln_2.bias", "ln_f.bias"}


@pytest.mark.parametrize("bias", [True, False])
def test_linear_adds_its_bias(bias):
    params = {"weight": jnp.array([[1.0, 2.0]])} | ({"bias": jnp.array([5.0])} if bias else {})
    linear = bind(Linear, 2, 1, bias, tiny.F32, params=params)
    np.testing.assert_array_equal(linear(jnp.array([[[3.0, 4.0]]])), [[[16.0 if bias else 11.0]]])


# name, block, n_params: the published checkpoints (spec, section 1), ties counted once
SIZES = [
    ("text_2", GPT, dict(n_layer=24, n_head=16, n_embd=1024), (129_600, 10_048), 446_088_192),
    ("coarse_2", GPT, dict(n_layer=24, n_head=16, n_embd=1024), (12_096, 12_096), 327_861_248),
    ("fine_2", FineGPT, dict(n_layer=24, n_head=16, n_embd=1024), (1056, 1056), 311_789_568),
    ("text", GPT, dict(n_layer=12, n_head=12, n_embd=768), (129_600, 10_048), 192_989_952),
    ("coarse", GPT, dict(n_layer=12, n_head=12, n_embd=768), (12_096, 12_096), 104_319_744),
    ("fine", FineGPT, dict(n_layer=12, n_head=12, n_embd=768), (1056, 1056), 92_247_552),
]


@pytest.mark.parametrize("name, make, sizes, vocabularies, n_params", SIZES)
def test_number_of_parameters(name, make, sizes, vocabularies, n_params):
    config = FineGPTConfig if make is FineGPT else GPTConfig
    cfg = config(input_vocab_size=vocabularies[0], output_vocab_size=vocabularies[1], **sizes)
    leaves = jax.tree.leaves(abstract_params(make, cfg, tiny.F32))
    assert sum(leaf.size for leaf in leaves) == n_params


def test_bfloat16_is_close_and_keeps_float32_between_products():
    params = jax.tree.map(lambda leaf: np.asarray(leaf).astype(jnp.bfloat16), CAUSAL_PARAMS)
    x_BTD = jnp.asarray(RNG.normal(size=(2, 8, CAUSAL.n_embd)), jnp.float32)
    got, want = causal_logits(x_BTD, params, execution=BF16), causal_logits(x_BTD)
    assert got.dtype == jnp.float32
    # 8 bits of mantissa in some ten products: a few percent of the spread
    assert 0 < np.abs(got - want).max() < 0.1 * want.std()


def test_formats_of_parameters_compute_and_cache_are_separate():
    dtypes = DTypes(params="bfloat16", compute="float32", cache="bfloat16")
    execution = Execution.on("cpu", dtypes)
    abstract = abstract_params(GPT, CAUSAL, execution)
    assert {leaf.dtype for leaf in jax.tree.leaves(abstract)} == {jnp.dtype("bfloat16")}

    def made():
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), CAUSAL_PARAMS)
        model = bind(GPT, CAUSAL, execution, params=params)
        return model.prefill(jnp.ones((1, 3, CAUSAL.n_embd)), jnp.full(1, 3), 5)

    out_BD, cache = jax.eval_shape(made)
    assert out_BD.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(cache)} == {jnp.dtype("bfloat16")}


def test_unknown_format_is_refused():
    with pytest.raises(ValueError, match="dtype compute='float16' is not one of"):
        DTypes(compute="float16")


def test_names_of_parameters_round_trip():
    flat = flatten(CAUSAL_PARAMS)
    assert "h.1.attn.c_proj.weight" in flat
    assert jax.tree.structure(unflatten(flat)) == jax.tree.structure(CAUSAL_PARAMS)


def test_init_params_is_a_function_of_the_key():
    one, same, other = (
        init_params(Linear, 30, 40, True, tiny.F32, key=jax.random.key(seed)) for seed in (0, 0, 1)
    )
    jax.tree.map(np.testing.assert_array_equal, one, same)
    assert (one["weight"] != other["weight"]).any()
    assert abs(float(one["weight"].std()) - 0.02) < 0.002  # GPT-2's initial spread
    assert not one["bias"].any()
