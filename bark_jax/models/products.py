"""Matrix products in a chosen number format, GELU, and attention of single heads: with gradients.

The backward passes are written out for three reasons. Products of the backward pass take their
inputs in the compute dtype as well (the compiler would widen them all to float32); on CPU the
gradient of a weight is twice as fast in the right orientation; and attention weights are computed
again rather than kept, which halves the time of attention.
"""

from typing import Any

import jax
import jax.numpy as jnp


def product(subscripts: str, a: jax.Array, b: jax.Array, dtype: str) -> jax.Array:
    """`jnp.einsum` with inputs in `dtype`, float32 out; in full precision where `dtype` is that.

    Every index of an operand appears in the other one or in the result.
    """
    return _product(subscripts, a, b, dtype)


def linear(x: jax.Array, weight_OI: jax.Array, dtype: str) -> jax.Array:
    """`x @ weight.T` (…, O) of x (…, I), as `product`."""
    return _linear(x, weight_OI, dtype)


def gelu(x: jax.Array) -> jax.Array:
    """The exact (erf) GELU; only its input is kept for the backward pass."""
    return _gelu(x)


def attend_heads(
    q_NTK: jax.Array, k_NTK: jax.Array, v_NTK: jax.Array, is_causal: bool, dtype: str
) -> jax.Array:
    """Attention (N, T, K) of N heads as plain matrix products, one head after the other.

    XLA on CPU runs a batched product on one core: 82 to 132 ms for 12 heads of 1024 positions,
    against 22 ms this way. Dividing by the sum after the second product saves a pass.
    """
    return _attend(q_NTK, k_NTK, v_NTK, is_causal, dtype)


def _einsum(subscripts: str, a: jax.Array, b: jax.Array, dtype: str) -> jax.Array:
    return jnp.einsum(
        subscripts,
        a.astype(dtype),
        b.astype(dtype),
        preferred_element_type=jnp.float32,
        precision=jax.lax.Precision.HIGHEST if dtype == "float32" else None,
    )


def _product_forward(subscripts: str, a: jax.Array, b: jax.Array, dtype: str):
    return _einsum(subscripts, a, b, dtype), (a, b)


def _product_backward(subscripts: str, dtype: str, kept: tuple[jax.Array, ...], g: jax.Array):
    a, b = kept
    inputs, out = subscripts.split("->")
    of_a, of_b = inputs.split(",")
    da = _einsum(f"{out},{of_b}->{of_a}", g, b, dtype)
    db = _einsum(f"{of_a},{out}->{of_b}", a, g, dtype)
    return da.astype(a.dtype), db.astype(b.dtype)


def _linear_forward(x: jax.Array, weight_OI: jax.Array, dtype: str):
    return _einsum("...i,oi->...o", x, weight_OI, dtype), (x, weight_OI)


def _linear_backward(dtype: str, kept: tuple[jax.Array, ...], g: jax.Array):
    """Rows are made one axis. XLA on CPU wants the longer of the other two axes last."""
    x, weight_OI = kept
    n_out, n_in = weight_OI.shape
    g_NO, x_NI = g.reshape(-1, n_out), x.reshape(-1, n_in)
    dx_NI = _einsum("no,oi->ni", g_NO, weight_OI, dtype)
    if n_out > n_in:
        dw_OI = _einsum("ni,no->io", x_NI, g_NO, dtype).T
    else:
        dw_OI = _einsum("no,ni->oi", g_NO, x_NI, dtype)
    return dx_NI.reshape(x.shape).astype(x.dtype), dw_OI.astype(weight_OI.dtype)


def _exact_gelu(x: jax.Array) -> jax.Array:
    # by erf, as in PyTorch; jax.nn.gelu goes by erfc, which takes 1.8 times as long on CPU
    return x * _normal_cdf(x)


def _normal_cdf(x: jax.Array) -> jax.Array:
    return 0.5 * (1 + jax.lax.erf(x * 0.5**0.5))


def _gelu_forward(x: jax.Array):
    return _exact_gelu(x), x


def _gelu_backward(x: jax.Array, g: jax.Array):
    density = jnp.exp(-0.5 * jnp.square(x)) * (2 * jnp.pi) ** -0.5
    return (g * (_normal_cdf(x) + x * density),)


def _attend_plainly(
    q_NTK: jax.Array, k_NTK: jax.Array, v_NTK: jax.Array, is_causal: bool, dtype: str
) -> jax.Array:
    return _attend_forward(q_NTK, k_NTK, v_NTK, is_causal, dtype)[0]


def _attend_forward(
    q_NTK: jax.Array, k_NTK: jax.Array, v_NTK: jax.Array, is_causal: bool, dtype: str
):
    def head(qkv: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        q_TK, k_TK, v_TK = qkv
        logits_TM = _logits(q_TK, k_TK, is_causal, dtype)
        top_T1 = logits_TM.max(-1, keepdims=True)
        weights_TM = jnp.exp(logits_TM - top_T1)
        total_T1 = weights_TM.sum(-1, keepdims=True)
        mixed_TK = _einsum("tm,mk->tk", weights_TM, v_TK, dtype) / total_T1
        return mixed_TK, (top_T1 + jnp.log(total_T1))[:, 0]

    mixed_NTK, scale_NT = jax.lax.map(head, (q_NTK, k_NTK, v_NTK))
    return mixed_NTK, (q_NTK, k_NTK, v_NTK, mixed_NTK, scale_NT)


def _attend_backward(is_causal: bool, dtype: str, kept: tuple[jax.Array, ...], g_NTK: jax.Array):
    def head(each: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        q_TK, k_TK, v_TK, mixed_TK, scale_T, g_TK = each
        weights_TM = jnp.exp(_logits(q_TK, k_TK, is_causal, dtype) - scale_T[:, None])
        dv_TK = _einsum("tm,tk->mk", weights_TM, g_TK, dtype)
        dweights_TM = _einsum("tk,mk->tm", g_TK, v_TK, dtype)
        own_T1 = (g_TK * mixed_TK).sum(-1, keepdims=True)
        dlogits_TM = weights_TM * (dweights_TM - own_T1) * _scale(q_TK)
        dq_TK = _einsum("tm,mk->tk", dlogits_TM, k_TK, dtype)
        dk_TK = _einsum("tm,tk->mk", dlogits_TM, q_TK, dtype)
        return dq_TK, dk_TK, dv_TK

    return jax.lax.map(head, (*kept, g_NTK))


def _logits(q_TK: jax.Array, k_TK: jax.Array, is_causal: bool, dtype: str) -> jax.Array:
    logits_TM = _einsum("tk,mk->tm", q_TK * _scale(q_TK), k_TK, dtype)
    if is_causal:
        logits_TM = jnp.where(jnp.tril(jnp.ones(logits_TM.shape, bool)), logits_TM, -jnp.inf)
    return logits_TM


def _scale(q_TK: jax.Array) -> float:
    return q_TK.shape[-1] ** -0.5


# Any: type checkers do not follow jax.custom_vjp
_product: Any = jax.custom_vjp(_einsum, nondiff_argnums=(0, 3))
_product.defvjp(_product_forward, _product_backward)
_linear: Any = jax.custom_vjp(
    lambda x, weight_OI, dtype: _einsum("...i,oi->...o", x, weight_OI, dtype), nondiff_argnums=(2,)
)
_linear.defvjp(_linear_forward, _linear_backward)
_gelu: Any = jax.custom_vjp(_exact_gelu)
_gelu.defvjp(_gelu_forward, _gelu_backward)
_attend: Any = jax.custom_vjp(_attend_plainly, nondiff_argnums=(3, 4))
_attend.defvjp(_attend_forward, _attend_backward)
