"""The plain formulation: products as written, one cache array with slots last, write then attend.

Used on GPUs, and on platforms that have not been measured.
"""

import dataclasses
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp

from bark_jax.formulations.products import linear, product


@flax.struct.dataclass
class SlotsLastCache:
    """Keys and values with slots as the last axis, along which both attention products read."""

    k_BHKM: jax.Array
    v_BHKM: jax.Array

    def along_slots(self, change: Callable[[jax.Array, int], jax.Array]) -> "SlotsLastCache":
        return jax.tree.map(lambda z_BHKM: change(z_BHKM, 3), self)

    def laid_out_like(self, other: "SlotsLastCache") -> "SlotsLastCache":
        return self


@dataclasses.dataclass(frozen=True)
class Reference:
    """See the module; it has no options."""

    def linear(self, x: jax.Array, weight_OI: jax.Array, dtype: str) -> jax.Array:
        return linear(x, weight_OI, dtype)

    def attend_sequence(
        self, q_BTHK: jax.Array, k_BTHK: jax.Array, v_BTHK: jax.Array, is_causal: bool, dtype: str
    ) -> jax.Array:
        T, K = q_BTHK.shape[1], q_BTHK.shape[3]
        logits_BHTM = product("BTHK,BMHK->BHTM", q_BTHK, k_BTHK, dtype) * K**-0.5
        if is_causal:
            is_seen_TM = jnp.tril(jnp.ones((T, T), bool))
            logits_BHTM = jnp.where(is_seen_TM[None, None], logits_BHTM, -jnp.inf)
        return product("BHTM,BMHK->BTHK", jax.nn.softmax(logits_BHTM), v_BTHK, dtype)

    def cache_of_prompt(
        self, k_BPHK: jax.Array, v_BPHK: jax.Array, slots: int, dtype: str
    ) -> SlotsLastCache:
        return SlotsLastCache(
            slots_last(k_BPHK, slots, dtype),
            slots_last(v_BPHK, slots, dtype),
        )

    def attend_cache(
        self,
        q_B1HK: jax.Array,
        k_B1HK: jax.Array,
        v_B1HK: jax.Array,
        cache: SlotsLastCache,
        visible_BM: jax.Array,
        slot: jax.Array,
        dtype: str,
    ) -> tuple[jax.Array, SlotsLastCache]:
        q_BHK = q_B1HK[:, 0]
        cache = SlotsLastCache(
            write_slot(cache.k_BHKM, k_B1HK, slot),
            write_slot(cache.v_BHKM, v_B1HK, slot),
        )
        visible_BM |= (jnp.arange(visible_BM.shape[1]) == slot)[None]
        logits_BHM = product("BHK,BHKM->BHM", q_BHK, cache.k_BHKM, dtype)
        logits_BHM = jnp.where(visible_BM[:, None], logits_BHM, -jnp.inf)
        probs_BHM = jax.nn.softmax(logits_BHM * q_BHK.shape[-1] ** -0.5)
        mixed_BHK = product("BHM,BHKM->BHK", probs_BHM, cache.v_BHKM, dtype)
        return mixed_BHK[:, None], cache


def slots_last(z_BPHK: jax.Array, slots: int, dtype: str) -> jax.Array:
    """Keys or values of a prompt as (B, H, K, M), M = `slots`; zeros after the prompt."""
    z_BHKP = z_BPHK.astype(dtype).transpose(0, 2, 3, 1)
    return jnp.pad(z_BHKP, ((0, 0), (0, 0), (0, 0), (0, slots - z_BPHK.shape[1])))


def write_slot(cache_BHKM: jax.Array, z_B1HK: jax.Array, slot: jax.Array) -> jax.Array:
    """The cache with one position of every row written to the same slot."""
    z_BHK1 = z_B1HK.astype(cache_BHKM.dtype).transpose(0, 2, 3, 1)
    return jax.lax.dynamic_update_slice(cache_BHKM, z_BHK1, (0, 0, 0, slot))
