"""Semantic tokens to the first codebooks of the codec.

Source: suno-ai/bark @f4f32d4, bark/generation.py, generate_coarse.
Differs: batched; the context is prefilled again only when its beginning has moved (coarse_plan.py).
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.config import BarkConfig, TokenLayout
from bark_jax.decoding.cache_growth import cache_sizes, chunks, with_slots
from bark_jax.decoding.guidance import CausalModel, Guide, bind_guided
from bark_jax.decoding.loop import (
    STEPS_BETWEEN_LOOKS,
    Context,
    jit_loop,
    read_prompt,
    read_token,
    repeat,
    round_up,
)
from bark_jax.decoding.noise import Noise
from bark_jax.decoding.sampling import Filter, draw, filter_logits
from bark_jax.hooks.edits import Place
from bark_jax.hooks.tap import NO_HOOKS, Hooks, put, room_for, step_of
from bark_jax.models.forward import Seen
from bark_jax.params import Params
from bark_jax.processors.context import DrawContext
from bark_jax.runtime.compiling import jit
from bark_jax.runtime.execution import Execution
from bark_jax.runtime.sharding import fetch, split_rows
from bark_jax.sampling_config import Rows
from bark_jax.stages.coarse_plan import CoarsePlan, segments, unflatten
from bark_jax.watching import Look


@flax.struct.dataclass
class State:
    """Carry of the token loop over one segment."""

    context: Context
    tokens_BN: jax.Array  # int32 ids of the coarse model
    n: jax.Array  # int32 [], how many of them; the same for all rows
    seen: Seen = flax.struct.field(default_factory=dict)  # of each draw, (B, N, …)


def generate_coarse(
    params: Params,
    plans: Sequence[CoarsePlan],
    rows: Rows,
    noise: Noise,
    guide: Guide | None = None,
    *,
    cfg: BarkConfig,
    execution: Execution,
    window: int,
    hooks: Hooks = NO_HOOKS,
    keep: Sequence[dict[str, np.ndarray]] = (),
    report: Callable[[int], None] | None = None,
    look: Look | None = None,
) -> list[np.ndarray]:
    """Draws the coarse codes of every row.

    Args:
      plans: one per row, from `coarse_plan.make_plan`; with a `guide`, own and other conditions in
        turns, of equally many tokens.
      rows: one value per row of each field of `CoarseSampling`.
      noise: of the draws; injected noise is (B, steps, codebook size).
      window: tokens between two moves of the context.
      hooks: edits of the rows, and what is kept of every draw.
      keep: one dict per row; gets what was kept, (Q T_row, …) by full name.
      report: called with the number of tokens done, every few steps.
      look: called with the codes so far, every few steps; see `watching.Watch`.
    Returns:
      Codes (Q, T_row) int32 of every row.
    """
    by = Filter.of(rows)
    most = max(plan.n_tokens for plan in plans)
    n_conditions = 1 if guide is None else guide.n_conditions
    made_BN = np.zeros((len(plans) // n_conditions, 0), np.int32)
    seen: list[dict[str, np.ndarray]] = []  # of each segment
    plans = list(plans)
    for n_done, n_steps in segments(plans, window):
        ids_BP, length_B = contexts(plans, made_BN.repeat(n_conditions, 0), n_done)
        new_BN, new_seen = _run_segment(
            params,
            ids_BP,
            length_B,
            by,
            noise,
            n_done,
            n_steps,
            report,
            look and functools.partial(_is_made, plans, made_BN[:, :n_done], n_conditions, look),
            earlier(made_BN[:, :n_done], most) if by.steps else None,
            guide,
            hooks,
            cfg=cfg,
            execution=execution,
        )
        made_BN = np.concatenate([made_BN[:, :n_done], new_BN], axis=1)
        seen.append(new_seen)
        if all(plan.n_tokens <= made_BN.shape[1] for plan in plans):
            break
    for row, kept in enumerate(keep):
        for name in seen[0] if seen else ():
            values = np.concatenate([part[name][row] for part in seen])
            kept[f"coarse.{name}"] = values[: plans[row * n_conditions].n_tokens]
    return [
        unflatten(tokens_N[: plan.n_tokens], cfg.tokens)
        for tokens_N, plan in zip(made_BN, plans[::n_conditions], strict=True)
    ]


def _is_made(
    plans: list[CoarsePlan],
    made_BN: np.ndarray,
    n_conditions: int,
    look: Look,
    new_BN: np.ndarray,
) -> bool:
    """Looks at what there is so far, cuts off the plans of rows that are to end.

    Returns:
      Whether no row wants more.
    """
    layout = plans[0].layout
    flat_BN = np.concatenate([made_BN, new_BN], axis=1)
    whole = flat_BN.shape[1] // layout.n_coarse_codebooks * layout.n_coarse_codebooks
    n_tokens = [min(plan.n_tokens, whole) for plan in plans]
    codes = {
        row: unflatten(tokens_N[: n_tokens[row * n_conditions]], layout)
        for row, tokens_N in enumerate(flat_BN)
    }
    running = [row for row in codes if plans[row * n_conditions].n_tokens > flat_BN.shape[1]]
    for row in look(codes, running):
        for i in range(row * n_conditions, (row + 1) * n_conditions):
            plans[i] = dataclasses.replace(plans[i], n_tokens=n_tokens[i])
    return all(plan.n_tokens <= flat_BN.shape[1] for plan in plans)


def contexts(
    plans: Sequence[CoarsePlan], made_BN: np.ndarray, n_done: int, multiple: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Input ids of all rows, padded on the right to one of few lengths, and the true lengths.

    A row that has all its tokens gets the context at its own end; what it draws is discarded.

    Args:
      multiple: coarse tokens that the lengths are rounded up to.
    """
    rows = [
        plan.context(tokens_N[: min(n_done, plan.n_tokens)])
        for plan, tokens_N in zip(plans, made_BN, strict=True)
    ]
    lengths = [len(row) for row in rows]
    fixed = plans[0].layout.coarse_semantic_length + 1
    longest = fixed + min(round_up(max(lengths) - fixed, multiple), plans[0].max_history)
    ids_BP = np.zeros((len(plans), max(longest, max(lengths))), np.int32)
    for ids_P, row in zip(ids_BP, rows, strict=True):
        ids_P[: len(row)] = row
    return ids_BP, np.array(lengths, np.int32)


def earlier(made_BN: np.ndarray, most: int) -> np.ndarray:
    """What earlier segments drew, with room for `most`, so that all segments share a program."""
    room = round_up(most, 1024)
    return np.pad(made_BN, [(0, 0), (0, room - made_BN.shape[1])])


def _run_segment(
    params: Params,
    ids_BP: np.ndarray,
    length_B: np.ndarray,
    by: Filter,
    noise: Noise,
    n_done: int,
    n_steps: int,
    report: Callable[[int], None] | None,
    is_made: Callable[[np.ndarray], bool] | None,
    earlier_BN: np.ndarray | None,
    guide: Guide | None,
    hooks: Hooks,
    *,
    cfg: BarkConfig,
    execution: Execution,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Ids (B, n_steps) that follow the contexts, and what was kept of each, (B, n_steps, …).

    There are fewer if `is_made` of those so far.
    """
    static = {"cfg": cfg, "execution": execution}
    B, P = ids_BP.shape
    first = np.int32(n_done)
    sizes = cache_sizes(B, P, n_steps, execution.platform)
    traced = (earlier_BN, guide, hooks)
    state = begin(params, ids_BP, length_B, by, noise, first, *traced, slots=sizes[0], **static)
    every = None if report is None and is_made is None else STEPS_BETWEEN_LOOKS
    for until, slots in chunks(sizes, P, n_steps, every, execution.platform):
        state = dataclasses.replace(state, context=with_slots(state.context, slots))
        state = advance(params, state, by, noise, first, np.int32(until), *traced, **static)
        if report is not None:
            jax.block_until_ready(state.n)
            report(n_done + until)
        if is_made is not None and is_made(fetch(state.tokens_BN)[:, :until]):
            n_steps = until
            break
    seen = {name: fetch(buffer)[:, :n_steps] for name, buffer in state.seen.items()}
    return fetch(state.tokens_BN)[:, :n_steps], seen


def _begin_fn(
    params: Params,
    ids_BP: jax.Array,
    length_B: jax.Array,
    by: Filter,
    noise: Noise,
    first: jax.Array,
    earlier_BN: jax.Array | None = None,
    guide: Guide | None = None,
    hooks: Hooks = NO_HOOKS,
    *,
    cfg: BarkConfig,
    execution: Execution,
    slots: int,
) -> State:
    """Reads the contexts and draws the next token of every row, which is number `first`."""
    model = bind_guided(cfg.coarse, execution, params, guide)
    ids_BP = split_rows(ids_BP)
    B, P = len(by.temperature_B), ids_BP.shape[1]
    own_B = length_B if guide is None else length_B[:: guide.n_conditions]
    fixed = cfg.tokens.coarse_semantic_length
    tap, seen = hooks.tap(lambda: Place(step_of(first + 1 - own_B, P, fixed)))
    out_BD, context = read_prompt(model, model.embed(ids_BP), length_B, slots, tap)
    # room for any segment, so that more of them share a program
    tokens_BN = jnp.zeros((B, cfg.tokens.max_coarse_input), jnp.int32)
    seen = {name: value[jnp.arange(B), own_B - 1] for name, value in seen.items()}
    kept = put(room_for(seen, tokens_BN.shape[1]), seen, lambda: jnp.zeros(B, jnp.int32))
    state = State(context, tokens_BN, jnp.int32(0), kept)
    return _append(model, out_BD, state, by, noise, first, earlier_BN, cfg.tokens)


def _continue_fn(
    params: Params,
    state: State,
    by: Filter,
    noise: Noise,
    first: jax.Array,
    until: jax.Array,
    earlier_BN: jax.Array | None = None,
    guide: Guide | None = None,
    hooks: Hooks = NO_HOOKS,
    *,
    cfg: BarkConfig,
    execution: Execution,
) -> State:
    """Continues drawing until every row has `until` new tokens."""
    model = bind_guided(cfg.coarse, execution, params, guide)

    def step(state: State) -> State:
        last_B = jax.lax.dynamic_index_in_dim(state.tokens_BN, state.n - 1, 1, keepdims=False)
        tap, seen = hooks.tap(lambda: Place(jnp.full((len(last_B), 1), first + state.n)))
        out_BD, context = read_token(model, last_B, state.context, tap)
        seen = {name: value[:, 0] for name, value in seen.items()}
        kept = put(state.seen, seen, lambda: jnp.full(len(last_B), state.n))
        state = dataclasses.replace(state, context=context, seen=kept)
        return _append(model, out_BD, state, by, noise, first, earlier_BN, cfg.tokens)

    return repeat(step, state, lambda state: state.n < until, execution.platform.block_steps)


begin = jit(_begin_fn, static_argnames=("cfg", "slots"))
advance = jit_loop(_continue_fn)


def _append(
    model: CausalModel,
    out_BD: jax.Array,
    state: State,
    by: Filter,
    noise: Noise,
    first: jax.Array,
    earlier_BN: jax.Array | None,
    layout: TokenLayout,
) -> State:
    """Draws one code for every row. Codebooks alternate; only ids of the current one are scored.

    Args:
      earlier_BN: ids that earlier segments drew, `first` of them; only processors look at them.
    """
    step = first + state.n
    offset = layout.coarse_offset(0) + step % layout.n_coarse_codebooks * layout.codebook_size
    B, Q = len(state.tokens_BN), layout.n_coarse_codebooks

    def context() -> DrawContext:
        parts = [(earlier_BN, first), (state.tokens_BN, state.n)]
        return DrawContext(
            position_B=jnp.full(B, step // Q),
            codebook=step % Q,
            end_id=None,
            parts=[(ids_BN, jnp.full(B, n)) for ids_BN, n in parts if ids_BN is not None],
            first_id=offset,
        )

    logits_BV = filter_logits(model.logits(out_BD, offset, layout.codebook_size), by, context)
    step_B = jnp.broadcast_to(step, (B,))
    gumbel_BV = noise.gumbel(step_B, (layout.codebook_size,))
    token_B = offset + draw(logits_BV, gumbel_BV, by.temperature_B)
    # a block of steps may run past the end: what it draws there is dropped
    tokens_BN = state.tokens_BN.at[:, state.n].set(token_B, mode="drop")
    return dataclasses.replace(state, tokens_BN=tokens_BN, n=state.n + 1)
