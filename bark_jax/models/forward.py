"""Whole sequences through a transformer's layers: the output of every position, and intermediates.

Used by training, scoring and verification; decoding uses prefill and decode steps (`gpt.py`), and
tests compare the two.
"""

from collections.abc import Callable, Sequence

import jax

from bark_jax.models.layers import Block, Tap, tap_of_layer, untouched
from bark_jax.runtime.execution import Execution

# (name, array) -> what to keep under that name, None for nothing. Names of layer i are
# h.i.attn.{q,k,v,mixed}, all (B, T, H, K), h.i.mlp.act (B, T, F), and h.i.attn.out, h.i.mlp.out and
# h.i.resid, all (B, T, D).
Watch = Callable[[str, jax.Array], jax.Array | None]
Seen = dict[str, jax.Array]  # what a `Watch` kept


def run_blocks(
    blocks: Sequence[Block],
    x_BTD: jax.Array,
    execution: Execution,
    *,
    is_causal: bool,
    remat: bool,
    watch: Watch | None,
    tap: Tap = untouched,
) -> tuple[jax.Array, Seen]:
    """Runs embeddings (positions included) through all blocks.

    Args:
      remat: keep only each block's input for the backward pass and recompute the rest.
      watch: receives the named intermediates.
      tap: may change them first. With `remat` no array may leave through it.
    Returns:
      The last block's output (B, T, D), not normalised, and what `watch` kept.
    """
    seen: Seen = {}
    for layer, block in enumerate(blocks):

        def run(x_BTD: jax.Array, layer: int = layer, block: Block = block):
            kept: Seen = {}  # returned: with `remat` no array may leave otherwise

            def watched(name: str, value: jax.Array) -> jax.Array:
                value = tap(name, value)
                if watch is not None and (wanted := watch(name, value)) is not None:
                    kept[name] = wanted
                return value

            def attend(q_BTHK: jax.Array, k_BTHK: jax.Array, v_BTHK: jax.Array) -> jax.Array:
                return execution.attend_sequence(q_BTHK, k_BTHK, v_BTHK, is_causal=is_causal)

            return block(x_BTD, attend, tap_of_layer(watched, layer)), kept

        x_BTD, kept = (jax.checkpoint(run) if remat else run)(x_BTD)
        seen |= kept
    return x_BTD, seen
