"""What a processor knows about the draw at hand."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp

NO_ID = -1  # fills arrays of ids up to a common length


@dataclasses.dataclass(frozen=True)
class DrawContext:
    """The draw at hand, of every row. Ids are columns of the logits."""

    position_B: jax.Array  # int32: tokens drawn before; in coarse and fine: the frame
    codebook: jax.Array | int  # int32 []: that is drawn; 0 in the semantic stage
    end_id: int | None = None  # the column of the end token, in the semantic stage
    parts: Sequence[
        tuple[jax.Array, jax.Array]
    ] = ()  # the model's ids (B, N), how many (B,) of them
    first_id: jax.Array | int = 0  # the model's id of column 0

    @property
    def tokens_BN(self) -> jax.Array:
        """int32: what each row has drawn so far, in order, among gaps of `NO_ID`.

        In the coarse stage, other codebooks' tokens are gaps as well. The fine stage draws all
        frames at once: there are none.
        """
        none_B0 = jnp.zeros((len(self.position_B), 0), jnp.int32)
        return jnp.concatenate([none_B0, *(self._known(*part) for part in self.parts)], axis=1)

    def seen_BV(self, n_ids: int) -> jax.Array:
        """bool: the ids that each row has drawn so far."""
        return any_BV(self.tokens_BN, n_ids)

    def _known(self, ids_BN: jax.Array, count_B: jax.Array) -> jax.Array:
        is_drawn_BN = jnp.arange(ids_BN.shape[1])[None] < count_B[:, None]
        own_BN = ids_BN - self.first_id
        return jnp.where(is_drawn_BN & (own_BN >= 0), own_BN, NO_ID)


def any_BV(ids_BN: jax.Array, n_ids: int) -> jax.Array:
    """bool: whether a row lists an id; entries outside 0 … n_ids - 1 are none."""
    at_BN = jnp.where(ids_BN < 0, n_ids, ids_BN)  # a negative index would count from the end
    rows_B1 = jnp.arange(len(ids_BN))[:, None]
    none_BV = jnp.zeros((len(ids_BN), n_ids), bool)
    return none_BV.at[rows_B1, at_BN].set(True, mode="drop")
