"""The plain formulation: products as written, one cache array of all heads, write then attend.

Used on GPUs, and on platforms that have not been measured.
"""

import dataclasses
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp

from bark_jax.formulations.products import linear, product
from bark_jax.formulations.tables import Tables


@flax.struct.dataclass
class SlotsThenHeadCache:
    """Keys and values (B, H, M, K): the slots of a head are one piece of memory, read in order.

    With slots last XLA's compiler for GPUs lays the keys out anew, and back, in every call of a
    token loop: with the large model, 46 MiB of temporary memory for each row.
    """

    k_BHMK: jax.Array
    v_BHMK: jax.Array

    @classmethod
    def of_prompt(
        cls, k_BPHK: jax.Array, v_BPHK: jax.Array, slots: int, dtype: str
    ) -> "SlotsThenHeadCache":
        """See `Formulation.cache_of_prompt`."""

        def place(z_BPHK: jax.Array) -> jax.Array:
            z_BHPK = z_BPHK.astype(dtype).transpose(0, 2, 1, 3)
            return jnp.pad(z_BHPK, ((0, 0), (0, 0), (0, slots - z_BPHK.shape[1]), (0, 0)))

        return cls(place(k_BPHK), place(v_BPHK))

    def along_slots(self, change: Callable[[jax.Array, int], jax.Array]) -> "SlotsThenHeadCache":
        return jax.tree.map(lambda z_BHMK: change(z_BHMK, 2), self)

    def laid_out_like(self, other: "SlotsThenHeadCache") -> "SlotsThenHeadCache":
        return self


@dataclasses.dataclass(frozen=True)
class Reference(Tables):
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
    ) -> SlotsThenHeadCache:
        return SlotsThenHeadCache.of_prompt(k_BPHK, v_BPHK, slots, dtype)

    def attend_cache(
        self,
        q_B1HK: jax.Array,
        k_B1HK: jax.Array,
        v_B1HK: jax.Array,
        cache: SlotsThenHeadCache,
        visible_BM: jax.Array,
        slot: jax.Array,
        dtype: str,
    ) -> tuple[jax.Array, SlotsThenHeadCache]:
        def write(cache_BHMK: jax.Array, z_B1HK: jax.Array) -> jax.Array:
            z_BH1K = z_B1HK.astype(cache_BHMK.dtype).transpose(0, 2, 1, 3)
            return jax.lax.dynamic_update_slice(cache_BHMK, z_BH1K, (0, 0, slot, 0))

        q_BHK = q_B1HK[:, 0]
        cache = SlotsThenHeadCache(write(cache.k_BHMK, k_B1HK), write(cache.v_BHMK, v_B1HK))
        visible_BM |= (jnp.arange(visible_BM.shape[1]) == slot)[None]
        logits_BHM = product("BHK,BHMK->BHM", q_BHK, cache.k_BHMK, dtype)
        logits_BHM = jnp.where(visible_BM[:, None], logits_BHM, -jnp.inf)
        probs_BHM = jax.nn.softmax(logits_BHM * q_BHK.shape[-1] ** -0.5)
        mixed_BHK = product("BHM,BHMK->BHK", probs_BHM, cache.v_BHMK, dtype)
        return mixed_BHK[:, None], cache
