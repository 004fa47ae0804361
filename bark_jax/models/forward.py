"""Whole sequences through the transformers, as training wants them: every position's output.

The same modules as in decoding; a test compares both paths' logits. What is added here is
rematerialisation, and a look at the attention of single layers.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from bark_jax.models.attention import attend_all
from bark_jax.models.layers import Block, DTypes

# (layer, q_BTHK, k_BTHK) -> what is to be added to the loss, float32 []
Watch = Callable[[int, jax.Array, jax.Array], jax.Array]


def run_blocks(
    blocks: Sequence[Block],
    x_BTD: jax.Array,
    *,
    is_causal: bool,
    dtypes: DTypes,
    remat: bool = False,
    watch: Watch | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Runs embeddings (positions included) through all blocks.

    Args:
      remat: keep only each block's input for the backward pass and compute the rest again.
      watch: called with every layer's queries and keys.
    Returns:
      The last block's output (B, T, D), not normalised, and the sum of what `watch` gave.
    """
    seen = jnp.float32(0)
    for layer, block in enumerate(blocks):

        def run(x_BTD: jax.Array, layer=layer, block=block) -> tuple[jax.Array, jax.Array]:
            extra = jnp.float32(0)

            def attend(q_BTHK, k_BTHK, v_BTHK):
                nonlocal extra
                if watch is not None:
                    extra = watch(layer, q_BTHK, k_BTHK)
                return attend_all(q_BTHK, k_BTHK, v_BTHK, is_causal=is_causal, dtypes=dtypes)

            return block(x_BTD, attend), extra

        x_BTD, extra = (jax.checkpoint(run) if remat else run)(x_BTD)
        seen += extra
    return x_BTD, seen
