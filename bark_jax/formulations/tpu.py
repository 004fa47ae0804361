"""The formulation for TPUs, whose tiles are 128 wide and whose products are slow with one row.

Figures are the compiler's estimate for a decode step on a v5e, small model; see
docs/performance-log.md.
"""

import dataclasses
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp

from bark_jax.formulations.products import linear, product
from bark_jax.formulations.reference import Reference
from bark_jax.formulations.tables import Tables


@flax.struct.dataclass
class FusedHeadCache:
    """Fused-head cache: the D = H · K values of all heads side by side in a slot.

    One head would fill half of a tile, in memory and in the matrix unit. Fused, a decode step takes
    0.50 million cycles instead of 1.74 (one row), 0.62 instead of 7.49 (eight).
    """

    k_BMD: jax.Array
    v_BMD: jax.Array

    def along_slots(self, change: Callable[[jax.Array, int], jax.Array]) -> "FusedHeadCache":
        return jax.tree.map(lambda z_BMD: change(z_BMD, 1), self)

    def laid_out_like(self, other: "FusedHeadCache") -> "FusedHeadCache":
        return self


@dataclasses.dataclass(frozen=True)
class Tpu(Tables):
    """Choices for TPUs."""

    doubles_single_row: bool = True  # in products: a single row is multiplied as two equal ones

    def linear(self, x: jax.Array, weight_OI: jax.Array, dtype: str) -> jax.Array:
        if self.doubles_single_row and x.size == x.shape[-1]:
            return linear(jnp.concatenate([x, x]), weight_OI, dtype)[:1]
        return linear(x, weight_OI, dtype)

    def look_up(self, table_RC: jax.Array, ids: jax.Array) -> jax.Array:
        """Looks a single row of int8 up twice.

        As a slice it would be no whole number of tiles, for which XLA lays the whole table out anew
        in every step: 1.81 million cycles instead of 0.50.
        """
        if ids.size == 1 and table_RC.dtype == jnp.int8:
            return super().look_up(table_RC, jnp.concatenate([ids, ids]))[:1]
        return super().look_up(table_RC, ids)

    def rows_from(self, matrix_RC: jax.Array, first: jax.Array | int, count: int) -> jax.Array:
        """Gathers rows of int8 for the same reason: a coarse step takes 0.69 or 0.49 million."""
        if matrix_RC.dtype == jnp.int8:
            return self.look_up(matrix_RC, first + jnp.arange(count))
        return super().rows_from(matrix_RC, first, count)

    def attend_sequence(
        self, q_BTHK: jax.Array, k_BTHK: jax.Array, v_BTHK: jax.Array, is_causal: bool, dtype: str
    ) -> jax.Array:
        return Reference().attend_sequence(q_BTHK, k_BTHK, v_BTHK, is_causal, dtype)

    def cache_of_prompt(
        self, k_BPHK: jax.Array, v_BPHK: jax.Array, slots: int, dtype: str
    ) -> FusedHeadCache:
        def place(z_BPHK: jax.Array) -> jax.Array:
            B, P, H, K = z_BPHK.shape
            z_BPD = z_BPHK.astype(dtype).reshape(B, P, H * K)
            return jnp.pad(z_BPD, ((0, 0), (0, slots - P), (0, 0)))

        return FusedHeadCache(place(k_BPHK), place(v_BPHK))

    def attend_cache(
        self,
        q_B1HK: jax.Array,
        k_B1HK: jax.Array,
        v_B1HK: jax.Array,
        cache: FusedHeadCache,
        visible_BM: jax.Array,
        slot: jax.Array,
        dtype: str,
    ) -> tuple[jax.Array, FusedHeadCache]:
        """Multiplies whole slots: each head's query has zeros in place of the other heads.

        The matrix unit takes the H rows at the cost of one, and no product has half-filled tiles.
        """

        def write(cache_BMD: jax.Array, z_B1HK: jax.Array) -> jax.Array:
            z_B1D = z_B1HK.astype(cache_BMD.dtype).reshape(B, 1, H * K)
            return jax.lax.dynamic_update_slice(cache_BMD, z_B1D, (0, slot, 0))

        B, _, H, K = q_B1HK.shape
        cache = FusedHeadCache(write(cache.k_BMD, k_B1HK), write(cache.v_BMD, v_B1HK))
        visible_BM |= (jnp.arange(visible_BM.shape[1]) == slot)[None]
        is_own_HH = jnp.eye(H, dtype=bool)[None, :, :, None]
        q_BHD = jnp.where(is_own_HH, q_B1HK, 0).reshape(B, H, H * K)
        logits_BHM = product("BHD,BMD->BHM", q_BHD, cache.k_BMD, dtype) * K**-0.5
        probs_BHM = jax.nn.softmax(jnp.where(visible_BM[:, None], logits_BHM, -jnp.inf))
        mixed_BHD = product("BHM,BMD->BHD", probs_BHM, cache.v_BMD, dtype)
        mixed_BHK = jnp.where(is_own_HH, mixed_BHD.reshape(B, H, H, K), 0).sum(1)
        return mixed_BHK[:, None], cache
