"""Semantic tokens of many rows through a batch that stays full: continuous batching.

Utterances differ in length. Instead of waiting for the longest row of a batch, a row that has ended
is yielded and the next one takes its place, in the middle of the token loop.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.config import BarkConfig
from bark_jax.decoding.cache_growth import cache_sizes, grow, most_draws, with_slots
from bark_jax.decoding.guidance import Guide
from bark_jax.decoding.loop import STEPS_BETWEEN_LOOKS
from bark_jax.decoding.noise import KeyNoise
from bark_jax.decoding.sampling import Filter
from bark_jax.hooks.tap import NO_HOOKS, Hooks
from bark_jax.params import Params
from bark_jax.runtime.execution import Execution
from bark_jax.sampling_config import Rows
from bark_jax.stages.semantic import (
    Ending,
    SemanticResult,
    State,
    advance,
    begin,
    end_rows,
    prompt_slots,
    results,
    rows_done,
)
from bark_jax.watching import Look


@dataclasses.dataclass(frozen=True)
class Request:
    """One row to be generated."""

    ids_CT: np.ndarray  # from `semantic.prompt`, of each of its conditions
    sampling: dict[str, Any]  # one value of each field of `SemanticSampling`
    seed: int


def stream_semantic(
    params: Params,
    requests: Sequence[Request],
    n_rows: int,
    guide: Guide | None = None,
    *,
    cfg: BarkConfig,
    execution: Execution,
    hooks: Hooks = NO_HOOKS,
    report: Callable[[int], None] | None = None,
    look: Look | None = None,
) -> Iterator[tuple[int, SemanticResult]]:
    """Yields (index, result) of every request as it ends; `n_rows` run at a time.

    A row gives the same tokens as alone.

    Args:
      guide: of all requests.
      hooks: of all requests.
      look: called with the tokens so far of the requests at hand; see `watching.Watch`.
    """
    static = {"cfg": cfg, "execution": execution}
    platform = execution.platform
    n_rows = min(n_rows, len(requests))
    prompt, limit = prompt_slots(cfg.tokens), cfg.tokens.max_semantic_tokens
    sizes = cache_sizes(n_rows * len(requests[0].ids_CT), prompt, limit, platform)
    waiting = iter(range(n_rows, len(requests)))
    slots: list[int | None] = list(range(n_rows))  # of the batch: the request in each row
    drawn = [1] * n_rows  # upper bound on the tokens that it has drawn

    def columns(taken: Sequence[Request]) -> Rows:
        return {name: [r.sampling[name] for r in taken] for name in taken[0].sampling}

    # of all requests, so that rows that come later find their processors in the same programs
    all_by = Filter.of(columns(requests))

    def traced(
        indices: Sequence[int],
    ) -> tuple[Filter, Ending, KeyNoise, Guide | None, Hooks]:
        taken = [requests[i] for i in indices]
        noise = KeyNoise.of([r.seed for r in taken], "semantic")
        own = guide and guide.take(np.asarray(indices))
        ending = Ending.of(columns(taken), cfg.tokens)
        return all_by.take(indices), ending, noise, own, hooks.take(indices)

    def start(indices: Sequence[int]) -> State:
        ids_BT = np.concatenate([requests[i].ids_CT for i in indices])
        return begin(params, ids_BT, *traced(indices), slots=sizes[0], **static)

    # An empty slot keeps the values of its last request, whose row has ended.
    last = list(range(n_rows))
    state = start(last)
    n_ended = 0
    while any(index is not None for index in slots):
        by, ending, noise, *own = traced(last)
        drawn = [n + STEPS_BETWEEN_LOOKS for n in drawn]
        most = max(n for n, index in zip(drawn, slots, strict=True) if index is not None)
        fitting = (size for size in sizes if most_draws(size, prompt, platform) >= most)
        context = with_slots(state.context, next(fitting, sizes[-1]))
        state = dataclasses.replace(state, context=context)
        until = state.n + STEPS_BETWEEN_LOOKS
        state = advance(params, state, by, ending, noise, until, *own, **static)
        is_done_B = rows_done(state, ending)
        if look is not None:
            at_hand = {index: row for row, index in enumerate(slots) if index is not None}
            drawn_so_far = results(state, cfg.tokens)
            tokens = {index: drawn_so_far[row].tokens for index, row in at_hand.items()}
            stopped = look(tokens, [i for i, row in at_hand.items() if not is_done_B[row]])
            state = end_rows(state, [at_hand[index] for index in stopped])
            is_done_B = rows_done(state, ending)
        free = [row for row, index in enumerate(slots) if index is not None and is_done_B[row]]
        if not free:
            continue
        ended = results(state, cfg.tokens)
        for row in free:
            index = slots[row]
            assert index is not None
            yield index, ended[row]
            slots[row], drawn[row] = next(waiting, None), 1
        n_ended += len(free)
        if report is not None:
            report(n_ended)
        filled = [row for row in free if slots[row] is not None]
        for row in filled:
            last[row] = slots[row]  # pyright: ignore[reportArgumentType, reportCallIssue]
        if filled:
            # few batch sizes compile: the last newcomer is repeated up to a power of two
            filled += filled[-1:] * (2 ** (len(filled) - 1).bit_length() - len(filled))
            state = _fill_slots(
                state, start([last[row] for row in filled]), np.array(filled, np.int32)
            )


def _fill_slots_fn(state: State, newcomers: State, rows_B: jax.Array) -> State:
    """Puts the newcomers into the given rows. Values that all rows share stay.

    Of a guided row, arrays of the context hold one row for each of its conditions.
    """
    context = grow(newcomers.context, state.context.slots)
    caches = zip(context.cache, state.context.cache, strict=True)
    cache = tuple(new.laid_out_like(old) for new, old in caches)
    context = dataclasses.replace(context, cache=cache)
    newcomers = dataclasses.replace(newcomers, context=context)

    def put(old: jax.Array, new: jax.Array) -> jax.Array:
        if old.ndim == 0:
            return old
        n, at = len(old) // len(state.length_B), rows_B
        if n > 1:
            at = (n * rows_B[:, None] + jnp.arange(n)[None]).ravel()
        return old.at[at].set(new)

    return jax.tree.map(put, state, newcomers)


_fill_slots = jax.jit(_fill_slots_fn, donate_argnames="state")
