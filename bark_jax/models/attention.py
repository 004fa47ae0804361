"""Attention over a whole sequence, and over a key/value cache one position at a time."""

import jax
import jax.numpy as jnp

from bark_jax.models.cache import HeadsTogether, LayerCache, SlotsLast
from bark_jax.models.layers import DTypes
from bark_jax.models.products import attend_heads, product
from bark_jax.runtime import platforms as backend


def attend_all(
    q_BTHK: jax.Array, k_BTHK: jax.Array, v_BTHK: jax.Array, *, is_causal: bool, dtypes: DTypes
) -> jax.Array:
    """Every position over every position, or over those up to itself."""
    if backend.current().maps_heads:
        return _attend_head_by_head(q_BTHK, k_BTHK, v_BTHK, is_causal, dtypes)
    T, K = q_BTHK.shape[1], q_BTHK.shape[3]
    logits_BHTM = product("BTHK,BMHK->BHTM", q_BTHK, k_BTHK, dtypes.compute) * K**-0.5
    if is_causal:
        is_seen_TM = jnp.tril(jnp.ones((T, T), bool))
        logits_BHTM = jnp.where(is_seen_TM[None, None], logits_BHTM, -jnp.inf)
    return product("BHTM,BMHK->BTHK", jax.nn.softmax(logits_BHTM), v_BTHK, dtypes.compute)


def _attend_head_by_head(
    q_BTHK: jax.Array, k_BTHK: jax.Array, v_BTHK: jax.Array, is_causal: bool, dtypes: DTypes
) -> jax.Array:
    """`attend_all` as plain matrix products, one head of one row after the other."""
    B, T, H, K = q_BTHK.shape

    def heads_first(z_BTHK: jax.Array) -> jax.Array:
        return z_BTHK.transpose(0, 2, 1, 3).reshape(B * H, T, K)

    q_NTK, k_NTK, v_NTK = map(heads_first, (q_BTHK, k_BTHK, v_BTHK))
    mixed_NTK = attend_heads(q_NTK, k_NTK, v_NTK, is_causal, dtypes.compute)
    return mixed_NTK.reshape(B, H, T, K).transpose(0, 2, 1, 3)


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
    if isinstance(cache, SlotsLast) and not backend.current().writes_cache_first:
        mixed_BHK = _mix_apart(q_B1HK, k_B1HK, v_B1HK, cache, visible_BM, dtypes)
        return mixed_BHK[:, None], cache.write(k_B1HK, v_B1HK, slot)
    written = cache.write(k_B1HK, v_B1HK, slot)
    visible_BM |= (jnp.arange(visible_BM.shape[1]) == slot)[None]
    if isinstance(written, SlotsLast):
        mixed_BHK = _mix_slots_last(q_B1HK[:, 0], written, visible_BM, dtypes)
    else:
        mixed_BHK = _mix_heads_together(q_B1HK[:, 0], written, visible_BM, dtypes)
    return mixed_BHK[:, None], written


def _mix_slots_last(
    q_BHK: jax.Array, cache: SlotsLast, visible_BM: jax.Array, dtypes: DTypes
) -> jax.Array:
    logits_BHM = _multiply("BHK,BHKM->BHM", q_BHK, cache.k_GBHKM, dtypes.compute)
    logits_BHM = jnp.where(visible_BM[:, None], logits_BHM, -jnp.inf)
    probs_BHM = jax.nn.softmax(logits_BHM * q_BHK.shape[-1] ** -0.5)
    return _multiply("BHM,BHKM->BHK", probs_BHM, cache.v_GBHKM, dtypes.compute)


def _mix_heads_together(
    q_BHK: jax.Array, cache: HeadsTogether, visible_BM: jax.Array, dtypes: DTypes
) -> jax.Array:
    """Multiplies whole slots: each head's query with zeros for the other heads' values.

    The matrix unit takes the H rows at the cost of one, and no product has half-filled tiles.
    """
    B, H, K = q_BHK.shape
    is_own_HH = jnp.eye(H, dtype=bool)[None, :, :, None]
    q_BHD = jnp.where(is_own_HH, q_BHK[:, None], 0).reshape(B, H, H * K)
    logits_BHM = product("BHD,BMD->BHM", q_BHD, cache.k_BMD, dtypes.compute) * K**-0.5
    probs_BHM = jax.nn.softmax(jnp.where(visible_BM[:, None], logits_BHM, -jnp.inf))
    mixed_BHD = product("BHM,BMD->BHD", probs_BHM, cache.v_BMD, dtypes.compute)
    return jnp.where(is_own_HH, mixed_BHD.reshape(B, H, H, K), 0).sum(1)


def _mix_apart(
    q_B1HK: jax.Array,
    k_B1HK: jax.Array,
    v_B1HK: jax.Array,
    cache: SlotsLast,
    visible_BM: jax.Array,
    dtypes: DTypes,
) -> jax.Array:
    """Over a cache that does not hold the new position yet, and over that position.

    Scaled with the softmax: where the logits were scaled before, on CPU, the products of heads
    that lie apart waited for each other (51 ms a step against 46, small model, 8 rows).
    """
    q_BHK = q_B1HK[:, 0]
    past_BHM = _multiply("BHK,BHKM->BHM", q_BHK, cache.k_GBHKM, dtypes.compute)
    past_BHM = jnp.where(visible_BM[:, None], past_BHM, -jnp.inf)
    own_BH1 = product("BTHK,BTHK->BHT", q_B1HK, k_B1HK, dtypes.compute)
    logits = jnp.concatenate([past_BHM, own_BH1], axis=-1)
    probs = jax.nn.softmax(logits * q_BHK.shape[-1] ** -0.5)
    mixed_BHK = _multiply("BHM,BHKM->BHK", probs[..., :-1], cache.v_GBHKM, dtypes.compute)
    return mixed_BHK + probs[..., -1:] * v_B1HK[:, 0].astype(dtypes.compute).astype(jnp.float32)


def _multiply(
    subscripts: str, of_heads: jax.Array, cache_GBHKM: tuple[jax.Array, ...], dtype: str
) -> jax.Array:
    """`product` of (B, H, …) with keys or values whose heads lie in one array or in several."""
    groups = jnp.split(of_heads, len(cache_GBHKM), axis=1)
    made = [product(subscripts, a, b, dtype) for a, b in zip(groups, cache_GBHKM, strict=True)]
    return jnp.concatenate(made, axis=1)
