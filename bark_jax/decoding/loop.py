"""Prefill and single steps of a causal GPT over its cache, and the loop around the steps.

Knows a GPT, not Bark's stages. Rows share the slot that is written next, while each has its own
position and its own visible slots: prompts of different lengths share a batch, padded on the
right, and the padding is never attended to. The slots after the prompts are a ring, so that a new
row may take the place of one that has ended, for as many tokens as the ring has slots.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import flax.struct
import jax
import jax.numpy as jnp

from bark_jax.decoding.guidance import CausalModel
from bark_jax.models.gpt import Cache
from bark_jax.models.layers import Tap, untouched
from bark_jax.runtime.compiling import jit

State = TypeVar("State")

STEPS_BETWEEN_LOOKS = 32  # draws between two times that the host looks, where it does
SLOT_MULTIPLE = 64  # cache sizes and step counts are rounded up to it, so that few shapes compile


def round_up(n: int, multiple: int = SLOT_MULTIPLE) -> int:
    return -(-n // multiple) * multiple


@flax.struct.dataclass
class Context:
    """What a GPT has read so far."""

    cache: Cache
    visible_BM: jax.Array  # slots that a row attends to
    position_B: jax.Array  # int32, position of the row's next token
    slot: jax.Array  # int32 [], where the next token of every row goes
    first: int = flax.struct.field(pytree_node=False)  # of the ring: the slot after the prompts

    @property
    def slots(self) -> int:
        """Slots of the cache, filled or not."""
        return self.visible_BM.shape[1]


def read_prompt(
    model: CausalModel,
    x_BPD: jax.Array,
    length_B: jax.Array,
    slots: int,
    tap: Tap = untouched,
) -> tuple[jax.Array, Context]:
    """Reads prompts of embeddings, padded on the right.

    Args:
      tap: called with the model's intermediates at all positions, see `layers.Tap`.
    Returns:
      The output (B, D) at each row's last real position, and the context for `read_token`.
    """
    P = x_BPD.shape[1]
    out_BD, cache = model.prefill(x_BPD, length_B, slots, tap)
    visible_BM = jnp.arange(slots)[None] < length_B[:, None]
    return out_BD, Context(cache, visible_BM, length_B, jnp.int32(P), P)


def read_token(
    model: CausalModel, token_B: jax.Array, context: Context, tap: Tap = untouched
) -> tuple[jax.Array, Context]:
    """Feeds one token per row.

    Args:
      tap: as in `read_prompt`, for this position.
    Returns:
      The output (B, D) for the next token, and the context that includes this one.
    """
    c = context
    out_BD, cache = model.step(token_B, c.position_B, c.cache, c.visible_BM, c.slot, tap)
    visible_BM = c.visible_BM | (jnp.arange(c.slots) == c.slot)[None]
    slot = jnp.where(c.slot + 1 < c.slots, c.slot + 1, c.first)
    return out_BD, Context(cache, visible_BM, c.position_B + 1, slot, c.first)


def jit_loop(function: Callable[..., Any]) -> Callable[..., Any]:
    """`jit` of a token loop `function(params, state, …, *, cfg, execution)`; donates `state`."""
    return jit(
        function,
        static_argnames=("cfg",),
        donate_argnames=("state",),
        n_rows=lambda params, state, *args, **kwargs: len(state.context.visible_BM),
    )


def repeat(
    step: Callable[[State], State],
    state: State,
    is_running: Callable[[State], jax.Array],
    block_steps: int,
) -> State:
    """Applies `step` in blocks of `block_steps` while `is_running(state)`, all on the device."""

    def block(state: State) -> State:
        return jax.lax.scan(lambda s, _: (step(s), None), state, None, length=block_steps)[0]

    return jax.lax.while_loop(is_running, block, state)
