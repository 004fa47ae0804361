"""The parts that all three transformers share, with the reference's numerics.

Source: suno-ai/bark @f4f32d4, bark/model.py. Three details differ from Flax's defaults and each
has a test: LayerNorm's epsilon is 1e-5, GELU is the exact erf form, weights are `[out, in]`.

Matrix products take their inputs in the compute dtype and give float32; everything between them
(residual stream, LayerNorm, softmax, GELU) is float32, as under the original's autocast.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from bark_jax.config import GPTConfig
from bark_jax.formulations.products import gelu
from bark_jax.runtime.execution import Execution

# (q_BTHK, k_BTHK, v_BTHK) -> mixed values, BTHK. The caller decides what is visible.
Attend = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
# (name, intermediate) -> what the computation goes on with. A block's names, in their order:
# attn.q, attn.k, attn.v, attn.mixed (of each head), attn.out, mlp.act, mlp.out, resid
Tap = Callable[[str, jax.Array], jax.Array]
# (B, T, …) -> (B, N, …): the positions of which a block's output is wanted
Pick = Callable[[jax.Array], jax.Array]


def untouched(name: str, value: jax.Array) -> jax.Array:
    """The tap that does nothing, and of which a compiled program has nothing."""
    return value


def tap_of_layer(tap: Tap, layer: int) -> Tap:
    """What a block is given, so that its names begin with its own."""
    return lambda name, value: tap(f"h.{layer}.{name}", value)


def _last_axis(vector: jax.Array, x: jax.Array) -> jax.Array:
    """`vector` in float32, shaped to broadcast along the last axis of `x`."""
    return jnp.expand_dims(vector.astype(jnp.float32), tuple(range(x.ndim - 1)))


def scaled(y: jax.Array, scale_O: jax.Array | None) -> jax.Array:
    """What a matrix of int8 gives, times the scale of each output; without scales, as it is."""
    return y if scale_O is None else y * _last_axis(scale_O, y)


def _matrix(
    rows: int, columns: int, execution: Execution, rngs: nnx.Rngs
) -> tuple[nnx.Param, nnx.Param | None]:
    """A matrix in the execution's format of weights, and what each row of int8 is multiplied by."""
    dtypes, draw = execution.dtypes, nnx.initializers.normal(0.02)
    if dtypes.weights == "int8":  # made by `quantization`, not drawn
        weight = jnp.zeros((rows, columns), jnp.int8)
        return nnx.Param(weight), nnx.Param(jnp.ones(rows, jnp.float32))
    return nnx.Param(draw(rngs.params(), (rows, columns), dtypes.weights or dtypes.params)), None


class Linear(nnx.Module):
    def __init__(
        self, n_in: int, n_out: int, bias: bool, execution: Execution, *, rngs: nnx.Rngs
    ) -> None:
        self.execution = execution
        self.weight, self.scale = _matrix(n_out, n_in, execution, rngs)
        self.bias = nnx.Param(jnp.zeros(n_out, execution.dtypes.params)) if bias else None

    def __call__(
        self, x: jax.Array, first: jax.Array | int = 0, count: int | None = None
    ) -> jax.Array:
        """(…, count) of x (…, I): `count` outputs from `first` on, all without `count`."""

        def part(z_O: jax.Array) -> jax.Array:
            return z_O if count is None else self.execution.rows_from(z_O, first, count)

        y = self.execution.linear(x, part(self.weight[...]))
        y = scaled(y, None if self.scale is None else part(self.scale[...]))
        return y if self.bias is None else y + _last_axis(part(self.bias[...]), y)


class Embedding(nnx.Module):
    def __init__(self, n_rows: int, width: int, execution: Execution, *, rngs: nnx.Rngs) -> None:
        self.execution = execution
        self.weight, self.scale = _matrix(n_rows, width, execution, rngs)

    def __call__(self, ids: jax.Array) -> jax.Array:
        """Rows (…, D), float32: only those of the ids are widened, never the table."""
        rows = self.execution.look_up(self.weight[...], ids).astype(jnp.float32)
        return rows if self.scale is None else rows * self.scale[...][ids][..., None]


class LayerNorm(nnx.Module):
    def __init__(self, width: int, bias: bool, execution: Execution) -> None:
        dtype = execution.dtypes.params
        self.weight = nnx.Param(jnp.ones(width, dtype))
        self.bias = nnx.Param(jnp.zeros(width, dtype)) if bias else None

    def __call__(self, x: jax.Array) -> jax.Array:
        mean = x.mean(-1, keepdims=True)
        variance = jnp.square(x - mean).mean(-1, keepdims=True)
        y = (x - mean) * jax.lax.rsqrt(variance + 1e-5) * _last_axis(self.weight[...], x)
        return y if self.bias is None else y + _last_axis(self.bias[...], x)


class Attention(nnx.Module):
    def __init__(self, cfg: GPTConfig, execution: Execution, *, rngs: nnx.Rngs) -> None:
        self.cfg = cfg
        # rows of q, k and v stacked, as in the checkpoint
        self.c_attn = Linear(cfg.n_embd, 3 * cfg.n_embd, cfg.bias, execution, rngs=rngs)
        self.c_proj = Linear(cfg.n_embd, cfg.n_embd, cfg.bias, execution, rngs=rngs)

    def __call__(
        self, x_BTD: jax.Array, attend: Attend, tap: Tap, pick: Pick | None = None
    ) -> jax.Array:
        D = x_BTD.shape[-1]
        if pick is None:
            qkv = jnp.split(self.c_attn(x_BTD), 3, axis=-1)
        else:
            q_BND, kv_BTD = self.c_attn(pick(x_BTD), 0, D), self.c_attn(x_BTD, D, 2 * D)
            qkv = [q_BND, *jnp.split(kv_BTD, 2, axis=-1)]
        heads = self.cfg.n_head, self.cfg.head_dim
        q_BNHK, k_BTHK, v_BTHK = (z.reshape(*z.shape[:2], *heads) for z in qkv)
        mixed_BNHK = attend(tap("attn.q", q_BNHK), tap("attn.k", k_BTHK), tap("attn.v", v_BTHK))
        mixed_BND = tap("attn.mixed", mixed_BNHK).reshape(*mixed_BNHK.shape[:2], D)
        return tap("attn.out", self.c_proj(mixed_BND))


class MLP(nnx.Module):
    def __init__(self, cfg: GPTConfig, execution: Execution, *, rngs: nnx.Rngs) -> None:
        self.c_fc = Linear(cfg.n_embd, 4 * cfg.n_embd, cfg.bias, execution, rngs=rngs)
        self.c_proj = Linear(4 * cfg.n_embd, cfg.n_embd, cfg.bias, execution, rngs=rngs)

    def __call__(self, x_BTD: jax.Array, tap: Tap) -> jax.Array:
        hidden_BTF = tap("mlp.act", gelu(self.c_fc(x_BTD)))
        return tap("mlp.out", self.c_proj(hidden_BTF))


class Block(nnx.Module):
    """One pre-norm transformer layer; `ln_bias`: whether its LayerNorms have a bias."""

    def __init__(
        self, cfg: GPTConfig, ln_bias: bool, execution: Execution, *, rngs: nnx.Rngs
    ) -> None:
        self.ln_1 = LayerNorm(cfg.n_embd, ln_bias, execution)
        self.attn = Attention(cfg, execution, rngs=rngs)
        self.ln_2 = LayerNorm(cfg.n_embd, ln_bias, execution)
        self.mlp = MLP(cfg, execution, rngs=rngs)

    def __call__(
        self,
        x_BTD: jax.Array,
        attend: Attend,
        tap: Tap = untouched,
        pick: Pick | None = None,
    ) -> jax.Array:
        """The layer's output of all positions, or of those that `pick` takes: of all others only
        keys and values are computed."""
        kept_BND = x_BTD if pick is None else pick(x_BTD)
        kept_BND = kept_BND + self.attn(self.ln_1(x_BTD), attend, tap, pick)
        kept_BND = kept_BND + self.mlp(self.ln_2(kept_BND), tap)
        return tap("resid", kept_BND)
