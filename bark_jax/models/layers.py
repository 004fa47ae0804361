"""The parts that all three transformers share, with the reference's numerics.

Source: suno-ai/bark @f4f32d4, bark/model.py. Three details differ from Flax's defaults and each
has a test: LayerNorm's epsilon is 1e-5, GELU is the exact erf form, weights are `[out, in]`.

Matrix products take their inputs in the compute dtype and give float32; everything between them
(residual stream, LayerNorm, softmax, GELU) is float32, as under the original's autocast.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from bark_jax.config import GPTConfig
from bark_jax.models.products import gelu, linear, product
from bark_jax.runtime import platforms as backend
from bark_jax.runtime.sharding import splits_weights

# (q_BTHK, k_BTHK, v_BTHK) -> mixed values, BTHK. The caller decides what is visible.
Attend = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DTypes:
    """Number formats of one model; names as `jnp.dtype` takes them."""

    params: str = "float32"  # parameters at rest
    compute: str = "float32"  # inputs of matrix products
    cache: str = "float32"  # keys and values

    ALLOWED = ("float32", "bfloat16")

    @classmethod
    def all(cls, dtype: str) -> "DTypes":
        """One format for everything."""
        return cls(params=dtype, compute=dtype, cache=dtype)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value not in self.ALLOWED:
                raise ValueError(f"dtype {field.name}={value!r} is not one of {self.ALLOWED}")


def matmul(x: jax.Array, weight_OI: jax.Array, dtype: str) -> jax.Array:
    """`x @ weight.T` with inputs in `dtype`, in float32 with full precision where that is it."""
    n_rows = x.size // x.shape[-1]
    if n_rows == 1:
        return _multiply_lone_row(x, weight_OI, dtype)
    if n_rows <= backend.current().most_turned_rows:
        # the barriers keep the compiler from turning the product round again
        x_IN = jax.lax.optimization_barrier(x.reshape(n_rows, -1).T)
        y_ON = jax.lax.optimization_barrier(product("oi,in->on", weight_OI, x_IN, dtype))
        return y_ON.T.reshape(*x.shape[:-1], -1)
    return linear(x, weight_OI, dtype)


def _multiply_lone_row(x: jax.Array, weight_OI: jax.Array, dtype: str) -> jax.Array:
    """`matmul` of a single row, as the backend has it fastest."""
    (n_out, n_in), parts = weight_OI.shape, backend.current().lone_row_parts
    if backend.current().doubles_lone_rows:
        return linear(jnp.concatenate([x, x]), weight_OI, dtype)[:1]
    if parts == 1 or n_out % parts or splits_weights():  # a split weight would be gathered
        return linear(x, weight_OI, dtype)
    # the barrier keeps the compiler from making every value of `x` once for each part
    x_1I = jax.lax.optimization_barrier(x.reshape(1, n_in))
    x_PI = jnp.broadcast_to(x_1I, (parts, n_in))
    weight_POI = weight_OI.reshape(parts, n_out // parts, n_in)
    return product("pi,poi->po", x_PI, weight_POI, dtype).reshape(*x.shape[:-1], n_out)


def _last_axis(vector: jax.Array, x: jax.Array) -> jax.Array:
    """`vector` in float32, shaped to broadcast along the last axis of `x`."""
    return jnp.expand_dims(vector.astype(jnp.float32), tuple(range(x.ndim - 1)))


class Linear(nnx.Module):
    def __init__(
        self, n_in: int, n_out: int, bias: bool, dtypes: DTypes, *, rngs: nnx.Rngs
    ) -> None:
        init = nnx.initializers.normal(0.02)
        self.dtypes = dtypes
        self.weight = nnx.Param(init(rngs.params(), (n_out, n_in), dtypes.params))
        self.bias = nnx.Param(jnp.zeros(n_out, dtypes.params)) if bias else None

    def __call__(self, x: jax.Array) -> jax.Array:
        y = matmul(x, self.weight[...], self.dtypes.compute)
        return y if self.bias is None else y + _last_axis(self.bias[...], y)


class Embedding(nnx.Module):
    def __init__(self, n_rows: int, width: int, dtypes: DTypes, *, rngs: nnx.Rngs) -> None:
        init = nnx.initializers.normal(0.02)
        self.weight = nnx.Param(init(rngs.params(), (n_rows, width), dtypes.params))

    def __call__(self, ids: jax.Array) -> jax.Array:
        return self.weight[...][ids].astype(jnp.float32)


class LayerNorm(nnx.Module):
    def __init__(self, width: int, bias: bool, dtypes: DTypes) -> None:
        self.weight = nnx.Param(jnp.ones(width, dtypes.params))
        self.bias = nnx.Param(jnp.zeros(width, dtypes.params)) if bias else None

    def __call__(self, x: jax.Array) -> jax.Array:
        mean = x.mean(-1, keepdims=True)
        variance = jnp.square(x - mean).mean(-1, keepdims=True)
        y = (x - mean) * jax.lax.rsqrt(variance + 1e-5) * _last_axis(self.weight[...], x)
        return y if self.bias is None else y + _last_axis(self.bias[...], x)


class Attention(nnx.Module):
    def __init__(self, cfg: GPTConfig, dtypes: DTypes, *, rngs: nnx.Rngs) -> None:
        self.cfg = cfg
        # q, k, v one below the other, as in the checkpoint
        self.c_attn = Linear(cfg.n_embd, 3 * cfg.n_embd, cfg.bias, dtypes, rngs=rngs)
        self.c_proj = Linear(cfg.n_embd, cfg.n_embd, cfg.bias, dtypes, rngs=rngs)

    def __call__(self, x_BTD: jax.Array, attend: Attend) -> jax.Array:
        B, T, D = x_BTD.shape
        heads = (B, T, self.cfg.n_head, self.cfg.head_dim)
        q_BTHK, k_BTHK, v_BTHK = (
            z_BTD.reshape(heads) for z_BTD in jnp.split(self.c_attn(x_BTD), 3, axis=-1)
        )
        return self.c_proj(attend(q_BTHK, k_BTHK, v_BTHK).reshape(B, T, D))


class MLP(nnx.Module):
    def __init__(self, cfg: GPTConfig, dtypes: DTypes, *, rngs: nnx.Rngs) -> None:
        self.c_fc = Linear(cfg.n_embd, 4 * cfg.n_embd, cfg.bias, dtypes, rngs=rngs)
        self.c_proj = Linear(4 * cfg.n_embd, cfg.n_embd, cfg.bias, dtypes, rngs=rngs)

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        return self.c_proj(gelu(self.c_fc(x_BTD)))


class Block(nnx.Module):
    """One pre-norm transformer layer; `ln_bias` tells the fine model's LayerNorms."""

    def __init__(self, cfg: GPTConfig, ln_bias: bool, dtypes: DTypes, *, rngs: nnx.Rngs) -> None:
        self.ln_1 = LayerNorm(cfg.n_embd, ln_bias, dtypes)
        self.attn = Attention(cfg, dtypes, rngs=rngs)
        self.ln_2 = LayerNorm(cfg.n_embd, ln_bias, dtypes)
        self.mlp = MLP(cfg, dtypes, rngs=rngs)

    def __call__(self, x_BTD: jax.Array, attend: Attend) -> jax.Array:
        x_BTD = x_BTD + self.attn(self.ln_1(x_BTD), attend)
        return x_BTD + self.mlp(self.ln_2(x_BTD))
