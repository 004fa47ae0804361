"""From logits to a token: processors, temperature, draw.

Source: suno-ai/bark @f4f32d4, bark/generation.py. The order is the original's: top_p, then top_k,
both on the raw logits, then temperature, softmax and the draw. A user's processors come before.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.processors.context import DrawContext
from bark_jax.processors.filters import TopK, TopP, keep_likeliest
from bark_jax.processors.rows import Step, apply_steps, steps_of


@flax.struct.dataclass
class Filter:
    """Sampling values of every row; traced, so that new values never recompile."""

    temperature_B: jax.Array  # 0 = argmax
    top_k: TopK
    top_p: TopP
    steps: tuple[Step, ...] = ()  # the user's processors

    OFF_K = 2**31 - 1

    @classmethod
    def of(cls, rows: Mapping[str, Sequence[Any]]) -> "Filter":
        """From `sampling_config.per_row`; None switches a filter off."""
        rows = {**rows, "top_k": [k and min(k, cls.OFF_K) for k in rows["top_k"]]}

        def column(name: str, off: Any, dtype: type) -> Any:
            return np.array([off if v is None else v for v in rows[name]], dtype)

        return cls(
            column("temperature", 0, np.float32),
            TopK(column("top_k", cls.OFF_K, np.int32)),
            TopP(column("top_p", np.inf, np.float32)),
            steps_of([chain.processors for chain in rows["processors"]]),
        )

    def take(self, rows: Sequence[int]) -> "Filter":
        """The values of these rows only, for the same programs."""
        return jax.tree.map(lambda leaf: leaf[np.asarray(rows)], self)


def filter_logits(
    logits_BV: jax.Array, by: Filter, context: Callable[[], DrawContext]
) -> jax.Array:
    """Applies the user's processors, then the original's filters, which share one sort.

    Args:
      context: makes what the processors are called with, if there are any.
    """
    logits_BV = apply_steps(logits_BV, by.steps, context)
    return keep_likeliest(logits_BV, (by.top_p, by.top_k))


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
