"""Semantic tokens of many rows through a batch that stays full: continuous batching.

Utterances differ in length. Where a batch of its own waits for its longest row, here a row that
has ended is handed out and the next one takes its place, in the middle of the token loop.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.config import BarkConfig
from bark_jax.decoding.cache_growth import cache_sizes, grow, most_draws, with_slots
from bark_jax.decoding.noise import KeyNoise
from bark_jax.decoding.sampling import Filter
from bark_jax.models.cache import grouped_as
from bark_jax.models.layers import DTypes
from bark_jax.params import Params
from bark_jax.runtime.compiling import jit
from bark_jax.runtime.sharding import fetch
from bark_jax.stages.semantic import (
    Ending,
    SemanticResult,
    State,
    advance,
    begin,
    prompt_slots,
    results,
)

STEPS_BETWEEN_LOOKS = 32  # draws before the host looks for rows that have ended


@dataclasses.dataclass(frozen=True)
class Request:
    """One row to come."""

    ids_T: np.ndarray  # from `semantic.prompt`
    sampling: dict[str, Any]  # one value of each field of `SemanticSampling`
    seed: int


def stream_semantic(
    params: Params,
    requests: Sequence[Request],
    n_rows: int,
    *,
    cfg: BarkConfig,
    dtypes: DTypes,
    report: Callable[[int], None] | None = None,
) -> Iterator[tuple[int, SemanticResult]]:
    """Yields (index, result) of every request as it ends; `n_rows` are under way at a time.

    A row's tokens are those that it gives alone.
    """
    static = {"cfg": cfg, "dtypes": dtypes}
    n_rows = min(n_rows, len(requests))
    prompt, limit = prompt_slots(cfg.tokens), cfg.tokens.max_semantic_tokens
    sizes = cache_sizes(n_rows, prompt, limit)
    waiting = iter(range(n_rows, len(requests)))
    seats: list[int | None] = list(range(n_rows))  # the request that sits in each row
    drawn = [1] * n_rows  # tokens that it has drawn, or more

    def traced(indices: Sequence[int]) -> tuple[Filter, Ending, KeyNoise]:
        taken = [requests[i] for i in indices]
        rows = {name: [r.sampling[name] for r in taken] for name in taken[0].sampling}
        noise = KeyNoise.of([r.seed for r in taken], "semantic")
        return Filter.of(rows), Ending.of(rows, cfg.tokens), noise

    def start(indices: Sequence[int]) -> State:
        ids_BT = jnp.asarray(np.stack([requests[i].ids_T for i in indices]))
        return begin(params, ids_BT, *traced(indices), slots=sizes[0], **static)

    # An empty seat keeps the values of the request that sat there last; its row has ended.
    last = list(range(n_rows))
    state = start(last)
    n_ended = 0
    while any(seat is not None for seat in seats):
        by, ending, noise = traced(last)
        drawn = [n + STEPS_BETWEEN_LOOKS for n in drawn]
        most = max(n for n, seat in zip(drawn, seats, strict=True) if seat is not None)
        fitting = (slots for slots in sizes if most_draws(slots, prompt) >= most)
        context = with_slots(state.context, next(fitting, sizes[-1]))
        state = dataclasses.replace(state, context=context)
        until = state.n + STEPS_BETWEEN_LOOKS
        state = advance(params, state, by, ending, noise, until, **static)
        is_done_B = fetch(state.is_done(ending))
        free = [row for row, seat in enumerate(seats) if seat is not None and is_done_B[row]]
        if not free:
            continue
        ended = results(state, cfg.tokens)
        for row in free:
            index = seats[row]
            assert index is not None
            yield index, ended[row]
            seats[row], drawn[row] = next(waiting, None), 1
        n_ended += len(free)
        if report is not None:
            report(n_ended)
        filled = [row for row in free if seats[row] is not None]
        for row in filled:
            last[row] = seats[row]  # pyright: ignore[reportArgumentType, reportCallIssue]
        if filled:
            # few batch sizes compile: the last newcomer is repeated up to a power of two
            filled += filled[-1:] * (2 ** (len(filled) - 1).bit_length() - len(filled))
            state = _seat(state, start([last[row] for row in filled]), np.array(filled, np.int32))


def _seat_fn(state: State, newcomers: State, rows_B: jax.Array) -> State:
    """Puts the newcomers into the given rows. What all rows share stays."""
    context = grow(newcomers.context, state.context.slots)
    caches = zip(context.cache, state.context.cache, strict=True)
    cache = tuple(grouped_as(new, old) for new, old in caches)
    context = dataclasses.replace(context, cache=cache)
    newcomers = dataclasses.replace(newcomers, context=context)

    def put(old: jax.Array, new: jax.Array) -> jax.Array:
        return old if old.ndim == 0 else old.at[rows_B].set(new)

    return jax.tree.map(put, state, newcomers)


_seat = jit(_seat_fn, donate_argnames=("state",))
