"""The processor that draws given ids."""

from collections.abc import Sequence

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.processors.context import NO_ID, DrawContext


@flax.struct.dataclass
class Force:
    """Draws these ids where they stand, whatever the model thinks; -1, and what follows, is free.

    In the semantic stage `ids` are (N,), in order; before the last forced one a row does not end,
    and the last may be the end token itself. In the coarse and the fine stage they are codes (Q, T)
    of the codebooks and frames; what the fine stage is given is not drawn. As the first of a row's
    processors it stands for what the model says; a later one could still ban what it forces.
    """

    ids: Sequence[int] | Sequence[Sequence[int]] | jax.Array

    def check(self, n_ids: int) -> None:
        array = np.asarray(self.ids)
        is_whole = array.size == 0 or np.issubdtype(array.dtype, np.integer)
        if array.ndim not in (1, 2) or not is_whole:
            raise ValueError(
                f"Force.ids of shape {array.shape} and dtype {array.dtype} is not allowed; want "
                "whole numbers, (N,) or (Q, T)"
            )
        if array.size and (array.min() < NO_ID or array.max() >= n_ids):
            raise ValueError(
                f"Force.ids runs from {array.min()} to {array.max()}, want -1 … {n_ids - 1}"
            )

    def __call__(self, logits_BV: jax.Array, context: DrawContext) -> jax.Array:
        ids_BN, is_open_B = self._of_codebook(context), jnp.ones(len(logits_BV), bool)
        N, id_V = ids_BN.shape[1], jnp.arange(logits_BV.shape[1])
        at_B = jnp.where(context.position_B < 0, N, context.position_B)
        wanted_B = ids_BN.at[jnp.arange(len(ids_BN)), at_B].get(mode="fill", fill_value=NO_ID)
        if context.end_id is not None:
            # where a row may not end, its end is not forced
            may_end_B = jnp.isfinite(logits_BV[:, context.end_id])
            is_open_B = may_end_B | (wanted_B != context.end_id)
            last_B = jnp.where(ids_BN >= 0, jnp.arange(N)[None], -1).max(1)
            is_early_BV = (at_B < last_B)[:, None] & (id_V == context.end_id)[None]
            logits_BV = jnp.where(is_early_BV, -jnp.inf, logits_BV)
        forced_BV = jnp.where(id_V[None] == wanted_B[:, None], 0.0, -jnp.inf)
        return jnp.where(((wanted_B >= 0) & is_open_B)[:, None], forced_BV, logits_BV)

    def _of_codebook(self, context: DrawContext) -> jax.Array:
        """Ids (B, N) of the codebook at hand."""
        ids, B = jnp.asarray(self.ids), len(context.position_B)
        want, axes = (1, "(N,)") if context.end_id is not None else (2, "(Q, T)")
        if ids.ndim - 1 != want:
            raise ValueError(f"Force.ids has shape {ids.shape[1:]}, want {axes} in this stage")
        if want == 1:
            return ids
        codebook_B = jnp.broadcast_to(jnp.asarray(context.codebook), (B,))
        return ids.at[jnp.arange(B), codebook_B].get(mode="fill", fill_value=NO_ID)
