"""Processors that drop unlikely ids. Bark's own two are `TopP` and `TopK`.

Ids whose score ties with the last kept one stay as well.
"""

import functools
from collections.abc import Sequence
from typing import Protocol

import flax.struct
import jax
import jax.numpy as jnp

from bark_jax.numbers import is_finite, is_whole
from bark_jax.processors.context import DrawContext


class Cut(Protocol):
    """A filter that keeps the likeliest ids, as many as it likes."""

    def is_on_B(self, n_ids: int) -> jax.Array:
        """Whether it can drop anything."""
        ...

    def kept_B(self, sorted_BV: jax.Array) -> jax.Array:
        """How many to keep of logits in descending order, at least 1."""
        ...


def keep_likeliest(logits_BV: jax.Array, cuts: Sequence[Cut]) -> jax.Array:
    """Sets logits that any of the cuts drops to -inf. Sorts once, and only if some row needs it."""

    def drop(logits_BV: jax.Array) -> jax.Array:
        sorted_BV = jnp.sort(logits_BV, axis=-1, descending=True)
        last_B = functools.reduce(jnp.minimum, [cut.kept_B(sorted_BV) for cut in cuts]) - 1
        threshold_B1 = jnp.take_along_axis(sorted_BV, last_B[:, None], axis=-1)
        return jnp.where(logits_BV >= threshold_B1, logits_BV, -jnp.inf)

    is_on_B = functools.reduce(jnp.logical_or, [cut.is_on_B(logits_BV.shape[-1]) for cut in cuts])
    return jax.lax.cond(jnp.any(is_on_B), drop, lambda logits_BV: logits_BV, logits_BV)


@flax.struct.dataclass
class TopP:
    """Keeps an id while the probabilities before it add up to at most `p`, 0 … 1.

    So the id that crosses the threshold stays, as in the original.
    """

    p: float | jax.Array

    def check(self, n_ids: int) -> None:
        _check_share("TopP.p", self.p)

    def is_on_B(self, n_ids: int) -> jax.Array:
        return jnp.isfinite(self.p)

    def kept_B(self, sorted_BV: jax.Array) -> jax.Array:
        share_BV = jnp.cumsum(jax.nn.softmax(sorted_BV), axis=-1)
        return 1 + (share_BV[:, :-1] <= jnp.expand_dims(self.p, 1)).sum(-1)

    def __call__(self, logits_BV: jax.Array, context: DrawContext) -> jax.Array:
        return keep_likeliest(logits_BV, [self])


@flax.struct.dataclass
class TopK:
    """Keeps the `k` likeliest ids, k >= 1."""

    k: int | jax.Array

    def check(self, n_ids: int) -> None:
        if not is_whole(self.k) or not 1 <= self.k < 2**31:
            raise ValueError(f"TopK.k={self.k!r} is not allowed; want a whole number >= 1")

    def is_on_B(self, n_ids: int) -> jax.Array:
        return jnp.less(self.k, n_ids)

    def kept_B(self, sorted_BV: jax.Array) -> jax.Array:
        return jnp.clip(self.k, max=sorted_BV.shape[-1])

    def __call__(self, logits_BV: jax.Array, context: DrawContext) -> jax.Array:
        return keep_likeliest(logits_BV, [self])


@flax.struct.dataclass
class MinP:
    """Drops ids that are less than `p` times as likely as the likeliest one, 0 … 1; 0 is off."""

    p: float | jax.Array

    def check(self, n_ids: int) -> None:
        _check_share("MinP.p", self.p)

    def __call__(self, logits_BV: jax.Array, context: DrawContext) -> jax.Array:
        least_B1 = logits_BV.max(-1, keepdims=True) + jnp.expand_dims(jnp.log(self.p), 1)
        return jnp.where(logits_BV >= least_B1, logits_BV, -jnp.inf)


@flax.struct.dataclass
class Typical:
    """Keeps ids whose surprise is nearest to the expected one, until they make up `mass`, 0 … 1.

    Source: Meister et al., Locally Typical Sampling (arXiv 2202.00666).
    """

    mass: float | jax.Array

    def check(self, n_ids: int) -> None:
        _check_share("Typical.mass", self.mass)

    def __call__(self, logits_BV: jax.Array, context: DrawContext) -> jax.Array:
        log_p_BV = jax.nn.log_softmax(logits_BV)
        p_BV = jnp.exp(log_p_BV)
        entropy_B1 = -jnp.where(p_BV > 0, p_BV * log_p_BV, 0).sum(-1, keepdims=True)
        oddness_BV = jnp.abs(-log_p_BV - entropy_B1)  # inf for an id that is dropped already
        sorted_BV, sorted_p_BV = jax.lax.sort((oddness_BV, p_BV), num_keys=1)
        before_BV = jnp.cumsum(sorted_p_BV, axis=-1) < jnp.expand_dims(self.mass, 1)
        last_B1 = before_BV.sum(-1, keepdims=True).clip(max=logits_BV.shape[-1] - 1)
        threshold_B1 = jnp.take_along_axis(sorted_BV, last_B1, axis=-1)
        return jnp.where(oddness_BV <= threshold_B1, logits_BV, -jnp.inf)


def _check_share(name: str, value: object) -> None:
    if not is_finite(value) or not 0 <= value <= 1:  # pyright: ignore[reportOperatorIssue]
        raise ValueError(f"{name}={value!r} is not allowed; want a number in 0 … 1")
