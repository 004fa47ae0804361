"""Attention over a whole sequence, and over a key/value cache one position at a time."""

import flax.struct
import jax
import jax.numpy as jnp

from bark_jax import backend
from bark_jax.models.layers import DTypes


@flax.struct.dataclass
class LayerCache:
    """Keys and values of one layer; unwritten slots hold zeros.

    Slots are the last axis: on CPU both products then read the cache along memory (2.1 ms against
    31.7 ms with slots first, small model, 1024 slots), on TPU nothing is padded to 128 lanes.
    """

    k_BHKM: jax.Array
    v_BHKM: jax.Array

    @classmethod
    def of_prompt(cls, k_BPHK: jax.Array, v_BPHK: jax.Array, slots: int, dtype: str):
        """A cache of `slots` slots whose first P hold the prompt."""

        def place(z_BPHK: jax.Array) -> jax.Array:
            z_BHKP = z_BPHK.astype(dtype).transpose(0, 2, 3, 1)
            return jnp.pad(z_BHKP, ((0, 0), (0, 0), (0, 0), (0, slots - z_BHKP.shape[-1])))

        return cls(place(k_BPHK), place(v_BPHK))

    def write(self, k_B1HK: jax.Array, v_B1HK: jax.Array, slot: jax.Array) -> "LayerCache":
        """Puts one position of every row into the same slot."""

        def put(cache_BHKM: jax.Array, z_B1HK: jax.Array) -> jax.Array:
            z_BHK1 = z_B1HK.astype(cache_BHKM.dtype).transpose(0, 2, 3, 1)
            return jax.lax.dynamic_update_slice(cache_BHKM, z_BHK1, (0, 0, 0, slot))

        return LayerCache(put(self.k_BHKM, k_B1HK), put(self.v_BHKM, v_B1HK))


def attend_all(
    q_BTHK: jax.Array, k_BTHK: jax.Array, v_BTHK: jax.Array, *, is_causal: bool, dtypes: DTypes
) -> jax.Array:
    """Every position over every position, or over those up to itself."""
    T, K = q_BTHK.shape[1], q_BTHK.shape[3]
    logits_BHTM = _dot("BTHK,BMHK->BHTM", q_BTHK, k_BTHK, dtypes.compute) * K**-0.5
    if is_causal:
        is_seen_TM = jnp.tril(jnp.ones((T, T), bool))
        logits_BHTM = jnp.where(is_seen_TM[None, None], logits_BHTM, -jnp.inf)
    return _dot("BHTM,BMHK->BTHK", jax.nn.softmax(logits_BHTM), v_BTHK, dtypes.compute)


def attend_cache(
    q_B1HK: jax.Array,
    k_B1HK: jax.Array,
    v_B1HK: jax.Array,
    cache: LayerCache,
    visible_BM: jax.Array,
    slot: jax.Array,
    *,
    dtypes: DTypes,
) -> tuple[jax.Array, LayerCache]:
    """One new position of every row over its visible cache slots and over itself.

    Returns:
      The mixed values (B, 1, H, K), and the cache with the new position in `slot`.
    """
    written = cache.write(k_B1HK, v_B1HK, slot)
    if backend.current().writes_cache_first:
        visible_BM |= (jnp.arange(visible_BM.shape[1]) == slot)[None]
        logits_BHM = _past_logits(q_B1HK, written, visible_BM, dtypes)
        probs_BHM = jax.nn.softmax(logits_BHM)
        mixed_BHK = _dot("BHM,BHKM->BHK", probs_BHM, written.v_BHKM, dtypes.compute)
        return mixed_BHK[:, None], written
    past_BHM = _past_logits(q_B1HK, cache, visible_BM, dtypes)
    own_BH1 = _dot("BTHK,BTHK->BHT", q_B1HK, k_B1HK, dtypes.compute) * q_B1HK.shape[-1] ** -0.5
    probs = jax.nn.softmax(jnp.concatenate([past_BHM, own_BH1], axis=-1))
    mixed_BHK = _dot("BHM,BHKM->BHK", probs[..., :-1], cache.v_BHKM, dtypes.compute)
    mixed_BHK += probs[..., -1:] * v_B1HK[:, 0].astype(dtypes.compute).astype(jnp.float32)
    return mixed_BHK[:, None], written


def _past_logits(
    q_B1HK: jax.Array, cache: LayerCache, visible_BM: jax.Array, dtypes: DTypes
) -> jax.Array:
    logits_BHM = _dot("BHK,BHKM->BHM", q_B1HK[:, 0], cache.k_BHKM, dtypes.compute)
    return jnp.where(visible_BM[:, None], logits_BHM * q_B1HK.shape[-1] ** -0.5, -jnp.inf)


def _dot(subscripts: str, a: jax.Array, b: jax.Array, dtype: str) -> jax.Array:
    return jnp.einsum(
        subscripts,
        a.astype(dtype),
        b.astype(dtype),
        preferred_element_type=jnp.float32,
        precision=jax.lax.Precision.HIGHEST if dtype == "float32" else None,
    )
