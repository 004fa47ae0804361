"""From logits to a token: filters, temperature, draw.

Source: suno-ai/bark @f4f32d4, bark/generation.py. The order is the original's: top_p, then top_k,
both on the raw logits, then temperature, softmax and the draw.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np


@flax.struct.dataclass
class Filter:
    """Sampling values of every row; traced, so that new values never recompile."""

    temperature_B: jax.Array  # 0 = argmax
    top_k_B: jax.Array  # int32, OFF_K = off
    top_p_B: jax.Array  # inf = off

    OFF_K = 2**31 - 1

    @classmethod
    def of(cls, rows: Mapping[str, Sequence[Any]]) -> "Filter":
        """From `sampling_config.per_row`; None switches a filter off."""
        rows = {**rows, "top_k": [k and min(k, cls.OFF_K) for k in rows["top_k"]]}

        def column(name: str, off: Any, dtype: type) -> jax.Array:
            return jnp.asarray(np.array([off if v is None else v for v in rows[name]], dtype))

        return cls(
            column("temperature", 0, np.float32),
            column("top_k", cls.OFF_K, np.int32),
            column("top_p", np.inf, np.float32),
        )


def filter_logits(logits_BV: jax.Array, by: Filter) -> jax.Array:
    """Sets the logits that top_p and top_k drop to -inf. Sorts only if some row needs it.

    top_p keeps an id while the probabilities before it add up to at most top_p, so the id that
    crosses the threshold stays. Ids whose logit ties with the last kept one stay as well.
    """

    def drop(logits_BV: jax.Array) -> jax.Array:
        V = logits_BV.shape[-1]
        sorted_BV = jnp.sort(logits_BV, axis=-1, descending=True)
        share_BV = jnp.cumsum(jax.nn.softmax(sorted_BV), axis=-1)
        kept_B = 1 + (share_BV[:, :-1] <= by.top_p_B[:, None]).sum(-1)
        last_B = jnp.minimum(kept_B, by.top_k_B.clip(max=V)) - 1
        threshold_B1 = jnp.take_along_axis(sorted_BV, last_B[:, None], axis=-1)
        return jnp.where(logits_BV >= threshold_B1, logits_BV, -jnp.inf)

    is_on = jnp.any(jnp.isfinite(by.top_p_B) | (by.top_k_B < logits_BV.shape[-1]))
    return jax.lax.cond(is_on, drop, lambda logits_BV: logits_BV, logits_BV)


def draw(logits_BV: jax.Array, gumbel_BV: jax.Array, temperature_B: jax.Array) -> jax.Array:
    """One id per row: `argmax(logits / temperature + gumbel)`, and argmax at temperature 0."""
    return jnp.argmax(logits_BV + temperature_B[:, None] * gumbel_BV, axis=-1).astype(jnp.int32)


def probability(
    logits_BV: jax.Array, index: int, token_B: jax.Array, temperature_B: jax.Array
) -> jax.Array:
    """p(index) after temperature; at temperature 0 all of it lies on the drawn `token_B`."""
    is_greedy_B = temperature_B == 0
    scaled_BV = logits_BV / jnp.where(is_greedy_B, 1, temperature_B)[:, None]
    p_B = jnp.exp(scaled_BV[:, index] - jax.nn.logsumexp(scaled_BV, axis=-1))
    return jnp.where(is_greedy_B, (token_B == index).astype(jnp.float32), p_B)
