"""Gradients written by hand against those that JAX derives, and the formats of their products."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bark_jax.formulations.head_by_head import attend_heads
from bark_jax.formulations.products import gelu, linear, product

# Sums of at most 24 products of values around 1, in another order.
ATOL = 2e-5


def normal(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def check_gradients(ours, plain, *args: jax.Array) -> None:
    g = normal(*jax.eval_shape(plain, *args).shape, seed=9)
    for got, want in zip(jax.vjp(ours, *args)[1](g), jax.vjp(plain, *args)[1](g), strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, atol=ATOL)


@pytest.mark.parametrize("n_out", [3, 12])  # narrower and wider than the input
def test_linear_has_the_gradients_of_einsum(n_out):
    plain = lambda x, w: jnp.einsum("bti,oi->bto", x, w)  # noqa: E731
    check_gradients(
        lambda x, w: linear(x, w, "float32"), plain, normal(2, 4, 6), normal(n_out, 6, seed=1)
    )


def test_product_has_the_gradients_of_einsum():
    subscripts = "BTHK,BMHK->BHTM"
    check_gradients(
        lambda a, b: product(subscripts, a, b, "float32"),
        lambda a, b: jnp.einsum(subscripts, a, b),
        normal(2, 4, 3, 5),
        normal(2, 6, 3, 5, seed=1),
    )


def test_gelu_has_its_exact_slope():
    check_gradients(gelu, lambda x: jax.nn.gelu(x, approximate=False), 3 * normal(50))


@pytest.mark.parametrize("is_causal", [True, False])
def test_attention_has_the_gradients_of_softmax(is_causal):
    def plain(q, k, v):
        logits = jnp.einsum("ntk,nmk->ntm", q, k) * q.shape[-1] ** -0.5
        seen = jnp.tril(jnp.ones(logits.shape[1:], bool))[None]
        logits = jnp.where(seen, logits, -jnp.inf) if is_causal else logits
        return jnp.einsum("ntm,nmk->ntk", jax.nn.softmax(logits), v)

    heads = [normal(3, 7, 4, seed=seed) for seed in range(3)]
    check_gradients(lambda *qkv: attend_heads(*qkv, is_causal, "float32"), plain, *heads)


def test_backward_products_are_in_the_compute_dtype():
    """Else an accelerator would multiply in float32 for two thirds of a training step."""

    def loss(x, w):
        return linear(x, w, "bfloat16").sum() + product("ti,oi->to", x, w, "bfloat16").sum()

    jaxpr = jax.make_jaxpr(jax.grad(loss, argnums=(0, 1)))(normal(4, 6), normal(3, 6))
    dots = [eqn for eqn in jaxpr.eqns if eqn.primitive.name == "dot_general"]
    assert len(dots) == 6
    assert {operand.aval.dtype.name for dot in dots for operand in dot.invars} == {"bfloat16"}
