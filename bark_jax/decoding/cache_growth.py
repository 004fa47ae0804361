"""How large the cache of a token loop is, and how it grows.

Every step reads all slots, filled or not, so the cache of a batch starts small and grows when it is
full. It grows in large steps, because every size compiles a program of its own.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp

from bark_jax.decoding.loop import Context, round_up
from bark_jax.runtime.platforms import Platform


def cache_sizes(n_rows: int, prompt: int, draws: int, platform: Platform) -> tuple[int, ...]:
    """Sizes [slots] that the cache of a token loop goes through.

    Args:
      n_rows: of the batch. A single row gets all slots at once: its steps read little but weights,
        and every size is one more program to compile.
      prompt: slots of the prompts.
      draws: most tokens that are drawn; the last one is not fed back.
    """
    first, whole = platform.first_slots, round_up(prompt + draws - 1)
    if whole <= first:
        return (first if 2 * whole > first else whole,)
    sizes, size = [whole], first
    while n_rows > 1 and size < whole:
        if prompt <= size * 3 // 4:
            sizes.insert(-1, size)
        size *= 2
    return tuple(sizes)


def most_draws(slots: int, prompt: int, platform: Platform) -> int:
    """Most tokens that a loop over `slots` may be told to draw: blocks of steps run past that."""
    return slots - prompt + 1 - (platform.block_steps - 1)


def chunks(
    sizes: Sequence[int], prompt: int, draws: int, every: int | None, platform: Platform
) -> Iterator[tuple[int, int]]:
    """Yields (draws made after it, slots) for each call of a token loop.

    A call ends where the cache must grow, after `every` draws if that is given, and at the end.
    """
    done = 0
    for size in sizes:
        last = draws if size == sizes[-1] else min(draws, most_draws(size, prompt, platform))
        while done < last:
            done = last if every is None else min(last, done - done % every + every)
            yield done, size


def grow(context: Context, slots: int) -> Context:
    """The same context with a larger cache.

    The ring is rolled so that its oldest slot comes first and the new slots follow its newest.
    """
    first, old = context.first, context.slots

    def enlarge(z: jax.Array, axis: int) -> jax.Array:
        prompt, ring = jnp.split(z, [first], axis)
        rolled = jnp.roll(ring, first - context.slot, axis)
        widths = [(0, slots - old if i == axis else 0) for i in range(z.ndim)]
        return jnp.pad(jnp.concatenate([prompt, rolled], axis), widths)

    return dataclasses.replace(
        context,
        cache=tuple(layer.along_slots(enlarge) for layer in context.cache),
        visible_BM=enlarge(context.visible_BM, 1),
        slot=jnp.int32(old),
    )


_grow = jax.jit(grow, static_argnames=("slots",))


def with_slots(context: Context, slots: int) -> Context:
    """The context with a cache of at least `slots` slots."""
    return context if context.slots >= slots else _grow(context, slots=slots)
