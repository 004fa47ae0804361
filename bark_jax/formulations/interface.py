"""What models ask of a formulation."""

from collections.abc import Callable
from typing import Any, Protocol, Self

import jax


class LayerCache(Protocol):
    """Keys and values of one layer, in any layout; a pytree. Unwritten slots hold zeros."""

    def along_slots(self, change: Callable[[jax.Array, int], jax.Array]) -> Self:
        """Every array changed by `change(array, axis of the slots)`."""
        ...

    def laid_out_like(self, other: Self) -> Self:
        """The same keys and values in the layout of `other`, whose batch size may differ."""
        ...


class Formulation(Protocol):
    """Six operations. Implementations are frozen dataclasses: static under `jax.jit`.

    `dtype` names the number format of a product's inputs; results are float32.
    """

    def linear(self, x: jax.Array, weight_OI: jax.Array, dtype: str) -> jax.Array:
        """`x @ weight.T` (…, O) of x (…, I)."""
        ...

    def look_up(self, table_RC: jax.Array, ids: jax.Array) -> jax.Array:
        """Rows (…, C) of a table, by ids in [0, R)."""
        ...

    def rows_from(self, matrix_RC: jax.Array, first: jax.Array | int, count: int) -> jax.Array:
        """The `count` rows (count, C) of a matrix that begin with row `first`."""
        ...

    def attend_sequence(
        self, q_BTHK: jax.Array, k_BTHK: jax.Array, v_BTHK: jax.Array, is_causal: bool, dtype: str
    ) -> jax.Array:
        """Attention (B, T, H, K) of all positions to all, or (causal) to those up to their own."""
        ...

    def cache_of_prompt(
        self, k_BPHK: jax.Array, v_BPHK: jax.Array, slots: int, dtype: str
    ) -> LayerCache:
        """A cache of `slots` slots whose first P hold the prompt; `dtype` is the cache's."""
        ...

    def attend_cache(
        self,
        q_B1HK: jax.Array,
        k_B1HK: jax.Array,
        v_B1HK: jax.Array,
        cache: Any,
        visible_BM: jax.Array,
        slot: jax.Array,
        dtype: str,
    ) -> tuple[jax.Array, Any]:
        """Attention of one new position of every row to its visible slots and to itself.

        Args:
          cache: from this formulation's `cache_of_prompt` or `attend_cache`.
          visible_BM: bool.
          slot: int32 [], where the new position is written; the same for all rows.
        Returns:
          The mixed values (B, 1, H, K), and the cache with the new position in `slot`.
        """
        ...
