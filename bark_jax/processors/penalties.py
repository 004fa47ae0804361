"""Processors that make some ids likelier, less likely, or impossible.

Ids are columns of the logits: semantic tokens and, as the last one, the end token; in the coarse
and the fine stage codes of the codebook at hand.
"""

from collections.abc import Sequence

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.numbers import is_finite, is_whole
from bark_jax.processors.context import DrawContext, any_BV


@flax.struct.dataclass
class Bias:
    """Adds `values[i]` to the logit of `ids[i]`; of an id that is listed twice, their sum."""

    ids: Sequence[int] | jax.Array
    values: Sequence[float] | jax.Array

    def check(self, n_ids: int) -> None:
        _check_ids("Bias.ids", self.ids, n_ids)
        if len(self.values) != len(self.ids) or not np.isfinite(self.values).all():
            raise ValueError(
                f"Bias.values={self.values!r} is not allowed; want {len(self.ids)} finite numbers, "
                "one per id"
            )

    def __call__(self, logits_BV: jax.Array, context: DrawContext) -> jax.Array:
        rows_B1 = jnp.arange(len(logits_BV))[:, None]
        return logits_BV.at[rows_B1, self.ids].add(self.values)  # filled up with zeros


@flax.struct.dataclass
class Ban:
    """Never draws these ids."""

    ids: Sequence[int] | jax.Array

    def check(self, n_ids: int) -> None:
        _check_ids("Ban.ids", self.ids, n_ids)
        if len(set(np.asarray(self.ids).tolist())) == n_ids:
            raise ValueError(f"Ban.ids holds all {n_ids} ids: none is left to draw")

    def __call__(self, logits_BV: jax.Array, context: DrawContext) -> jax.Array:
        is_banned_BV = any_BV(jnp.asarray(self.ids), logits_BV.shape[-1])
        return jnp.where(is_banned_BV, -jnp.inf, logits_BV)


@flax.struct.dataclass
class RepetitionPenalty:
    """Divides the logits above 0 of ids that were drawn before by `penalty`, multiplies the others.

    More than 1 discourages repetition, less than 1 encourages it. In the coarse stage each codebook
    has its own past; in the fine stage, which draws all frames at once, there is none.
    Source: Keskar et al., CTRL (arXiv 1909.05858).
    """

    penalty: float | jax.Array

    def check(self, n_ids: int) -> None:
        if not is_finite(self.penalty) or self.penalty <= 0:  # pyright: ignore
            raise ValueError(
                f"RepetitionPenalty.penalty={self.penalty!r} is not allowed; want a number > 0"
            )

    def __call__(self, logits_BV: jax.Array, context: DrawContext) -> jax.Array:
        penalty_B1 = jnp.expand_dims(self.penalty, 1)
        changed_BV = jnp.where(logits_BV < 0, logits_BV * penalty_B1, logits_BV / penalty_B1)
        return jnp.where(context.seen_BV(logits_BV.shape[-1]), changed_BV, logits_BV)


@flax.struct.dataclass
class MinLength:
    """Does not end a row before it has `tokens` semantic tokens; there are 49.9 in a second."""

    tokens: int | jax.Array

    def check(self, n_ids: int) -> None:
        if not is_whole(self.tokens) or not 0 <= self.tokens < 2**31:
            raise ValueError(
                f"MinLength.tokens={self.tokens!r} is not allowed; want a whole number >= 0"
            )

    def __call__(self, logits_BV: jax.Array, context: DrawContext) -> jax.Array:
        if context.end_id is None:  # rows of the other stages have their length beforehand
            return logits_BV
        is_short_B = context.position_B < self.tokens
        is_end_V = jnp.arange(logits_BV.shape[-1]) == context.end_id
        return jnp.where(is_short_B[:, None] & is_end_V[None], -jnp.inf, logits_BV)


def _check_ids(name: str, ids: Sequence[int] | jax.Array, n_ids: int) -> None:
    array = np.asarray(ids)
    is_whole_ids = array.size == 0 or np.issubdtype(array.dtype, np.integer)
    if array.ndim != 1 or not is_whole_ids or ((array < 0) | (array >= n_ids)).any():
        raise ValueError(f"{name}={ids!r} is not allowed; want a list of ids in 0 … {n_ids - 1}")
