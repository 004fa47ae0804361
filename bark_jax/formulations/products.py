"""Matrix products in a chosen number format, and GELU: with gradients.

The backward passes are written out for two reasons: their products, too, take inputs in the compute
dtype (by default all would be widened to float32), and on CPU the gradient of a weight is twice as
fast in the right orientation.
"""

from typing import Any

import jax
import jax.numpy as jnp


def product(subscripts: str, a: jax.Array, b: jax.Array, dtype: str) -> jax.Array:
    """`jnp.einsum` with inputs cast to `dtype`, float32 out; in full precision for float32.

    Every index of an operand must appear in the other one or in the result.
    """
    return _product(subscripts, a, b, dtype)


def linear(x: jax.Array, weight_OI: jax.Array, dtype: str) -> jax.Array:
    """`x @ weight.T` (…, O) of x (…, I), in number formats as `product`."""
    return _linear(x, weight_OI, dtype)


def gelu(x: jax.Array) -> jax.Array:
    """The exact (erf) GELU; only its input is kept for the backward pass."""
    return _gelu(x)


def einsum(subscripts: str, a: jax.Array, b: jax.Array, dtype: str) -> jax.Array:
    """`product` without its own backward pass."""
    return jnp.einsum(
        subscripts,
        a.astype(dtype),
        b.astype(dtype),
        preferred_element_type=jnp.float32,
        precision=jax.lax.Precision.HIGHEST if dtype == "float32" else None,
    )


def _product_forward(subscripts: str, a: jax.Array, b: jax.Array, dtype: str):
    return einsum(subscripts, a, b, dtype), (a, b)


def _product_backward(subscripts: str, dtype: str, kept: tuple[jax.Array, ...], g: jax.Array):
    a, b = kept
    inputs, out = subscripts.split("->")
    of_a, of_b = inputs.split(",")
    da = einsum(f"{out},{of_b}->{of_a}", g, b, dtype)
    db = einsum(f"{of_a},{out}->{of_b}", a, g, dtype)
    return da.astype(a.dtype), db.astype(b.dtype)


def _linear_forward(x: jax.Array, weight_OI: jax.Array, dtype: str):
    return einsum("...i,oi->...o", x, weight_OI, dtype), (x, weight_OI)


def _linear_backward(dtype: str, kept: tuple[jax.Array, ...], g: jax.Array):
    """Flattens rows to one axis. XLA on CPU is faster with the longer of the others last."""
    x, weight_OI = kept
    n_out, n_in = weight_OI.shape
    g_NO, x_NI = g.reshape(-1, n_out), x.reshape(-1, n_in)
    dx_NI = einsum("no,oi->ni", g_NO, weight_OI, dtype)
    if n_out > n_in:
        dw_OI = einsum("ni,no->io", x_NI, g_NO, dtype).T
    else:
        dw_OI = einsum("no,ni->oi", g_NO, x_NI, dtype)
    return dx_NI.reshape(x.shape).astype(x.dtype), dw_OI.astype(weight_OI.dtype)


def _exact_gelu(x: jax.Array) -> jax.Array:
    # by erf, as in PyTorch; jax.nn.gelu uses erfc, which takes 1.7 times as long on CPU
    return x * _normal_cdf(x)


def _normal_cdf(x: jax.Array) -> jax.Array:
    return 0.5 * (1 + jax.lax.erf(x * 0.5**0.5))


def _gelu_forward(x: jax.Array):
    return _exact_gelu(x), x


def _gelu_backward(x: jax.Array, g: jax.Array):
    density = jnp.exp(-0.5 * jnp.square(x)) * (2 * jnp.pi) ** -0.5
    return (g * (_normal_cdf(x) + x * density),)


# Any: type checkers do not follow jax.custom_vjp
_product: Any = jax.custom_vjp(einsum, nondiff_argnums=(0, 3))
_product.defvjp(_product_forward, _product_backward)
_linear: Any = jax.custom_vjp(
    lambda x, weight_OI, dtype: einsum("...i,oi->...o", x, weight_OI, dtype), nondiff_argnums=(2,)
)
_linear.defvjp(_linear_forward, _linear_backward)
_gelu: Any = jax.custom_vjp(_exact_gelu)
_gelu.defvjp(_gelu_forward, _gelu_backward)
