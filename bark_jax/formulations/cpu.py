"""The formulation for CPUs, made for XLA's kernels there and how it spreads work over the cores.

Figures are of the small model on two cores; docs/performance-log.md says how they were measured.
"""

import dataclasses
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp

from bark_jax.formulations.head_by_head import attend_heads
from bark_jax.formulations.products import linear, product
from bark_jax.formulations.tables import Tables

Heads = tuple[jax.Array, ...]  # (B, H, K, M) in one array, or H arrays of one head each


@flax.struct.dataclass
class PerHeadCache:
    """Keys and values with slots as the last axis; all heads in one array, or one array per head.

    Both attention products then read contiguous memory: 2.1 ms instead of 31.7 ms with slots first
    (1024 slots). XLA runs a batched product on one core, but many independent products on all.
    """

    k_GBHKM: Heads
    v_GBHKM: Heads

    def along_slots(self, change: Callable[[jax.Array, int], jax.Array]) -> "PerHeadCache":
        return jax.tree.map(lambda z_BHKM: change(z_BHKM, 3), self)

    def laid_out_like(self, other: "PerHeadCache") -> "PerHeadCache":
        def regroup(z_GBHKM: Heads) -> Heads:
            return _split_heads(jnp.concatenate(z_GBHKM, axis=1), len(other.k_GBHKM))

        return PerHeadCache(regroup(self.k_GBHKM), regroup(self.v_GBHKM))


@dataclasses.dataclass(frozen=True)
class Cpu(Tables):
    """Choices for CPUs."""

    # XLA cuts the product of a single row into tasks of some 2 MiB of weights: five for 3072 x 768,
    # of which one core of two does three. In eight equal parts a decode step takes 0.90 of the
    # time. A weight split over devices must stay in 1 part, or every product would gather it.
    single_row_parts: int = 8
    # From 2 rows up to this many, products are transposed: `(weight @ x.T).T`. With this and a
    # per-head cache, a decode step of eight rows takes 46 ms instead of 62.
    most_transposed_rows: int = 64
    # From this many heads and 2 rows on, each head has a cache array of its own: XLA uses all cores
    # where more than eight operations are ready. With six heads (four layers of 192) a decode step
    # takes 5.4 ms this way, 5.2 with one array.
    least_separate_heads: int = 9

    def linear(self, x: jax.Array, weight_OI: jax.Array, dtype: str) -> jax.Array:
        n_rows = x.size // x.shape[-1]
        if n_rows == 1:
            return self._multiply_single_row(x, weight_OI, dtype)
        if n_rows <= self.most_transposed_rows:
            # the barriers keep the compiler from undoing the transposition
            x_IN = jax.lax.optimization_barrier(x.reshape(n_rows, -1).T)
            y_ON = jax.lax.optimization_barrier(product("oi,in->on", weight_OI, x_IN, dtype))
            return y_ON.T.reshape(*x.shape[:-1], -1)
        return linear(x, weight_OI, dtype)

    def _multiply_single_row(self, x: jax.Array, weight_OI: jax.Array, dtype: str) -> jax.Array:
        (n_out, n_in), parts = weight_OI.shape, self.single_row_parts
        if parts == 1 or n_out % parts:
            return linear(x, weight_OI, dtype)
        # the barrier keeps the compiler from computing `x` once for each part
        x_1I = jax.lax.optimization_barrier(x.reshape(1, n_in))
        x_PI = jnp.broadcast_to(x_1I, (parts, n_in))
        weight_POI = weight_OI.reshape(parts, n_out // parts, n_in)
        return product("pi,poi->po", x_PI, weight_POI, dtype).reshape(*x.shape[:-1], n_out)

    def attend_sequence(
        self, q_BTHK: jax.Array, k_BTHK: jax.Array, v_BTHK: jax.Array, is_causal: bool, dtype: str
    ) -> jax.Array:
        B, T, H, K = q_BTHK.shape

        def heads_first(z_BTHK: jax.Array) -> jax.Array:
            return z_BTHK.transpose(0, 2, 1, 3).reshape(B * H, T, K)

        q_NTK, k_NTK, v_NTK = map(heads_first, (q_BTHK, k_BTHK, v_BTHK))
        mixed_NTK = attend_heads(q_NTK, k_NTK, v_NTK, is_causal, dtype)
        return mixed_NTK.reshape(B, H, T, K).transpose(0, 2, 1, 3)

    def cache_of_prompt(
        self, k_BPHK: jax.Array, v_BPHK: jax.Array, slots: int, dtype: str
    ) -> PerHeadCache:
        B, _, H, _ = k_BPHK.shape
        n_groups = H if H >= self.least_separate_heads and B > 1 else 1
        return PerHeadCache(
            _split_heads(_slots_last(k_BPHK, slots, dtype), n_groups),
            _split_heads(_slots_last(v_BPHK, slots, dtype), n_groups),
        )

    def attend_cache(
        self,
        q_B1HK: jax.Array,
        k_B1HK: jax.Array,
        v_B1HK: jax.Array,
        cache: PerHeadCache,
        visible_BM: jax.Array,
        slot: jax.Array,
        dtype: str,
    ) -> tuple[jax.Array, PerHeadCache]:
        """Attends to the cache before the new position is written, and to that position apart.

        Otherwise XLA would not write the cache in place. Logits are scaled in the softmax: scaled
        before the mask, products of separate heads waited for each other (a decode step of 8 rows
        took 51 ms instead of 46).
        """
        q_BHK = q_B1HK[:, 0]
        past_BHM = _multiply_heads("BHK,BHKM->BHM", q_BHK, cache.k_GBHKM, dtype)
        past_BHM = jnp.where(visible_BM[:, None], past_BHM, -jnp.inf)
        own_BH1 = product("BTHK,BTHK->BHT", q_B1HK, k_B1HK, dtype)
        logits = jnp.concatenate([past_BHM, own_BH1], axis=-1)
        probs = jax.nn.softmax(logits * q_BHK.shape[-1] ** -0.5)
        mixed_BHK = _multiply_heads("BHM,BHKM->BHK", probs[..., :-1], cache.v_GBHKM, dtype)
        mixed_BHK += probs[..., -1:] * v_B1HK[:, 0].astype(dtype).astype(jnp.float32)
        return mixed_BHK[:, None], PerHeadCache(
            _write_heads(cache.k_GBHKM, k_B1HK, slot),
            _write_heads(cache.v_GBHKM, v_B1HK, slot),
        )


def _slots_last(z_BPHK: jax.Array, slots: int, dtype: str) -> jax.Array:
    """Keys or values of a prompt as (B, H, K, M), M = `slots`; zeros after the prompt."""
    z_BHKP = z_BPHK.astype(dtype).transpose(0, 2, 3, 1)
    return jnp.pad(z_BHKP, ((0, 0), (0, 0), (0, 0), (0, slots - z_BPHK.shape[1])))


def _split_heads(z_BHKM: jax.Array, n_groups: int) -> Heads:
    return tuple(jnp.split(z_BHKM, n_groups, axis=1))


def _write_heads(cache_GBHKM: Heads, z_B1HK: jax.Array, slot: jax.Array) -> Heads:
    """The cache with one position of every row written to the same slot."""
    z_BHK1 = z_B1HK.astype(cache_GBHKM[0].dtype).transpose(0, 2, 3, 1)
    groups = jnp.split(z_BHK1, len(cache_GBHKM), axis=1)
    return tuple(
        jax.lax.dynamic_update_slice(cache_BHKM, group_BHK1, (0, 0, 0, slot))
        for cache_BHKM, group_BHK1 in zip(cache_GBHKM, groups, strict=True)
    )


def _multiply_heads(
    subscripts: str, of_heads: jax.Array, cache_GBHKM: Heads, dtype: str
) -> jax.Array:
    """`product` of (B, H, …) with keys or values whose heads are in one array or in several."""
    groups = jnp.split(of_heads, len(cache_GBHKM), axis=1)
    made = [product(subscripts, a, b, dtype) for a, b in zip(groups, cache_GBHKM, strict=True)]
    return jnp.concatenate(made, axis=1)
