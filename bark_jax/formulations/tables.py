"""Rows of a matrix, as most platforms read them."""

import jax


class Tables:
    """Two operations of a `Formulation`."""

    def look_up(self, table_RC: jax.Array, ids: jax.Array) -> jax.Array:
        return table_RC[ids]

    def rows_from(self, matrix_RC: jax.Array, first: jax.Array | int, count: int) -> jax.Array:
        return jax.lax.dynamic_slice_in_dim(matrix_RC, first, count)
