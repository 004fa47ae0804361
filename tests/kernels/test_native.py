"""The kernels beside the same sums in float64, at sizes that fill no vector."""

import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from bark_jax.kernels import native

if shutil.which("c++") is None:  # then there is nothing to test: see test_without_compiler.py
    pytest.skip("there is no C++ compiler", allow_module_level=True)

SHAPES = [(1, 768, 96), (1, 1, 1), (3, 17, 5), (4, 64, 33), (7, 31, 2), (64, 100, 9), (2, 0, 3)]


def weights_of(rng, format, shape):
    if format == "int8":
        return jnp.asarray(rng.integers(-127, 128, shape), jnp.int8)
    return jnp.asarray(rng.normal(size=shape), format)


def test_kernels_are_built():
    assert native.why_missing() is None


@pytest.mark.parametrize("format", native.LINEAR)
@pytest.mark.parametrize("n_rows, n_in, n_out", SHAPES)
def test_products_are_the_sums(format, n_rows, n_in, n_out):
    rng = np.random.default_rng(n_in)
    x_NI = rng.normal(size=(n_rows, n_in)).astype(np.float32)
    weight_OI = weights_of(rng, format, (n_out, n_in))
    exact_OI = np.asarray(weight_OI, np.float64)
    got_NO = native.linear(jnp.asarray(x_NI), weight_OI)
    # float32 sums of n_in terms, which the rounding of each partial sum shifts by 6e-8 of it
    bound_NO = 6e-8 * (8 + n_in / 16) * (np.abs(x_NI) @ np.abs(exact_OI.T))
    assert np.all(np.abs(got_NO - x_NI @ exact_OI.T) <= bound_NO)


@pytest.mark.skipif(not native.has_sequences(), reason="the processor has no AVX-512 VNNI")
@pytest.mark.parametrize("n_rows, n_in, n_out", [*SHAPES, (70, 64, 130)])
def test_sequences_are_exact_sums_of_rounded_rows(n_rows, n_in, n_out):
    rng = np.random.default_rng(n_in)
    x_NI = rng.normal(size=(n_rows, n_in)).astype(np.float32)
    x_NI[0] = 0.0
    weight_OI = weights_of(rng, "int8", (n_out, n_in))
    scale_N1 = np.abs(x_NI).max(1, initial=0, keepdims=True) / 127
    units_NI = np.rint(x_NI / np.where(scale_N1 == 0, 1, scale_N1))
    want_NO = units_NI @ np.asarray(weight_OI, np.float64).T * scale_N1
    got_NO = np.asarray(native.linear_sequence(jnp.asarray(x_NI), weight_OI))
    # a value halfway between two units may round either way: one unit by the largest weight
    np.testing.assert_allclose(got_NO, want_NO, rtol=1e-6, atol=1.01 * 127 * scale_N1.max())
    assert np.abs(got_NO - want_NO).mean() <= 1e-5 * (1 + np.abs(want_NO).mean())


@pytest.mark.parametrize("format", native.LINEAR)
def test_a_row_is_the_same_in_any_batch(format):
    rng = np.random.default_rng(0)
    x_NI = jnp.asarray(rng.normal(size=(7, 50)), jnp.float32)
    weight_OI = weights_of(rng, format, (13, 50))
    alone = np.concatenate([native.linear(x_NI[n : n + 1], weight_OI) for n in range(7)])
    np.testing.assert_array_equal(native.linear(x_NI, weight_OI), alone)


@pytest.mark.parametrize("format", native.ATTEND)
@pytest.mark.parametrize("slots, size", [(1, 1), (5, 12), (64, 64), (33, 80), (40, 7)])
def test_attention_is_softmax_over_the_visible_slots(format, slots, size):
    rng = np.random.default_rng(size)
    B, H, slot = 2, 3, slots // 2
    q, k, v = (jnp.asarray(rng.normal(size=(B, H, size)), jnp.float32) for _ in range(3))
    keys, values = (
        jnp.asarray(rng.normal(size=(B, H, slots, size)), format).at[:, :, 0].set(jnp.nan)
        for _ in range(2)
    )
    visible_BM = rng.random((B, slots)) < 0.6
    visible_BM[:, 0] = False  # what is not visible is not even read
    wanted = [z.at[:, :, slot].set(new.astype(format)) for z, new in ((keys, k), (values, v))]
    got, *caches = native.attend(q, k, v, keys, values, jnp.asarray(visible_BM), jnp.int32(slot))
    for cache, want in zip(caches, wanted, strict=True):
        np.testing.assert_array_equal(cache.astype(jnp.float32), want.astype(jnp.float32))
    visible_BM[:, slot] = True
    for b in range(B):
        of_k, of_v = (np.asarray(z[b], np.float64)[:, visible_BM[b]] for z in wanted)
        logits_HM = np.einsum("hk,hmk->hm", np.asarray(q[b], np.float64), of_k) / size**0.5
        weights_HM = np.exp(logits_HM - logits_HM.max(1, keepdims=True))
        weights_HM /= weights_HM.sum(1, keepdims=True)
        want_HK = np.einsum("hm,hmk->hk", weights_HM, of_v)
        # float32 sums of values near 1, and an exp that is right to 2e-7
        np.testing.assert_allclose(got[b], want_HK, atol=3e-6)


@pytest.mark.parametrize("is_causal", [True, False])
@pytest.mark.parametrize(
    "B, T, H, K", [(1, 1, 1, 1), (2, 37, 3, 12), (1, 130, 2, 80), (1, 70, 1, 64)]
)
def test_attention_over_a_sequence_is_the_softmax(B, T, H, K, is_causal):
    rng = np.random.default_rng(T)
    q, k, v = rng.normal(size=(3, B, T, H, K)) * 2
    got = native.attend_sequence(*(jnp.asarray(z, jnp.float32) for z in (q, k, v)), is_causal)
    logits = np.einsum("bthk,bmhk->bhtm", q, k) / K**0.5
    if is_causal:
        logits = np.where(np.tril(np.ones((T, T), bool)), logits, -np.inf)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    # float32 sums of values near 2, and an exp that is right to 2e-7
    np.testing.assert_allclose(got, np.einsum("bhtm,bmhk->bthk", weights, v), atol=1e-5)


def test_weights_that_all_but_vanish_are_left_out():
    """exp of less than -87 is no number of float32."""
    q, v = jnp.full((1, 3, 1, 1), 100.0), jnp.asarray([[[[1.0]], [[2.0]], [[4.0]]]])
    k = jnp.asarray([[[[0.0]], [[-1.0]], [[1.0]]]])
    got = native.attend_sequence(q, k, v, False)
    np.testing.assert_array_equal(got, np.full((1, 3, 1, 1), 4.0))


def test_a_slot_outside_the_cache_is_an_error():
    z, cache = jnp.ones((1, 1, 4)), jnp.ones((1, 1, 3, 4))
    with pytest.raises(Exception, match="slot is outside the cache"):
        native.attend(z, z, z, cache, cache, jnp.ones((1, 3), bool), jnp.int32(3))[
            0
        ].block_until_ready()
