"""Scores of the semantic and the coarse stage: one call of the model for a row or a window.

Each draw is scored with what decoding had before it: the semantic model's whole prefix, and the
coarse model's context as it moves, see `stages/coarse_plan.py`.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.config import BarkConfig
from bark_jax.decoding.loop import round_up
from bark_jax.decoding.sampling import Filter, filter_logits
from bark_jax.hooks.edits import Place
from bark_jax.hooks.names import WEIGHTS
from bark_jax.hooks.tap import NO_HOOKS, Hooks, step_of
from bark_jax.models.binding import bind
from bark_jax.models.forward import Seen
from bark_jax.models.gpt import GPT
from bark_jax.params import Params
from bark_jax.processors.context import DrawContext
from bark_jax.runtime.compiling import jit
from bark_jax.runtime.execution import Execution
from bark_jax.runtime.sharding import fetch, groups_per_call, split_rows
from bark_jax.scoring.marks import Marks, mark
from bark_jax.stages.coarse_plan import CoarsePlan, flatten, segments

Static = dict[str, Any]  # cfg, execution, with_logits


@flax.struct.dataclass
class Rule:
    """The distribution of every row that tokens are scored under."""

    by: Filter
    may_end_B: jax.Array  # bool; False: the end token is impossible


def score_semantic(
    params: Params,
    prompts: Sequence[np.ndarray],
    tokens: Sequence[np.ndarray],
    rule: Rule,
    hooks: Hooks = NO_HOOKS,
    **static: Any,
) -> list[Marks]:
    """Marks of the N tokens and the end token of every row.

    After as many tokens as the model has positions for there is no end token: its marks are NaN.

    Args:
      prompts: ids from `stages.semantic.prompt`.
      tokens: semantic tokens (N,) of every row.
      hooks: edits of the rows, and what is kept of every position that is drawn from.
    """
    eos = static["cfg"].tokens.semantic_pad_token
    length = round_up(max(map(len, tokens)) or 1)  # few lengths to compile
    drawn_BN = np.stack([_padded(row, length) for row in tokens])
    wanted_BT = np.stack([_padded(np.append(row, eos), length + 1) for row in tokens])
    made: list[Marks] = [None] * len(tokens)  # pyright: ignore[reportAssignmentType]
    for group in _groups(range(len(tokens)), static):
        marks = _semantic(
            params,
            np.stack([prompts[row] for row in group]),
            drawn_BN[group],
            wanted_BT[group],
            _taken(rule, group),
            hooks.take(group),
            **static,
        )
        for row, marks_T in zip(group, _rows(marks), strict=True):
            made[row] = _cut(marks_T, 0, len(tokens[row]) + 1)
    return made


def score_coarse(
    params: Params,
    plans: Sequence[CoarsePlan],
    codes: Sequence[np.ndarray],
    rule: Rule,
    hooks: Hooks = NO_HOOKS,
    **static: Any,
) -> list[Marks]:
    """Marks of the Q T tokens of every row, codebooks taking turns.

    Args:
      plans: one per row, from `coarse_plan.make_plan`.
      codes: codes (Q, T) of every row.
      hooks: as in `score_semantic`.
    """
    layout = static["cfg"].tokens
    flat = [flatten(codes_QT, layout) for codes_QT in codes]
    every_BN = np.stack([_padded(row, round_up(max(map(len, flat)), 1024)) for row in flat])
    pieces = [
        piece
        for row, (plan, tokens_N) in enumerate(zip(plans, flat, strict=True))
        for piece in _pieces(row, dataclasses.replace(plan, n_tokens=len(tokens_N)), tokens_N)
    ]
    most = static["cfg"].coarse.block_size
    none, no_ranks = np.zeros(0, np.float32), np.zeros(0, np.int32)
    no_logits = np.zeros((0, layout.codebook_size), np.float32) if static["with_logits"] else None
    nothing = Marks(none, none, no_ranks, no_logits)  # pyright: ignore[reportArgumentType]
    made: list[list[Marks]] = [[] for _ in codes]
    by_length: dict[int, list[_Piece]] = {}
    for piece in pieces:
        by_length.setdefault(min(round_up(len(piece.ids)), most), []).append(piece)
    found: dict[tuple[int, int], Marks] = {}
    for length, same in by_length.items():
        for group in _groups(range(len(same)), static):
            taken = [same[i] for i in group]
            rows = [piece.row for piece in taken]
            marks = _coarse(
                params,
                np.stack([_padded(piece.ids, length) for piece in taken]),
                np.array([piece.n_done - piece.begin for piece in taken], np.int32),
                every_BN[rows],
                _taken(rule, rows),
                hooks.take(rows),
                **static,
            )
            for piece, marks_T in zip(taken, _rows(marks), strict=True):
                found[piece.row, piece.n_done] = _cut(marks_T, piece.begin, piece.n_steps)
    if found:
        nothing = jax.tree.map(lambda leaf: leaf[:0], next(iter(found.values())))
    for (row, _), marks_T in sorted(found.items(), key=lambda item: item[0]):
        made[row].append(marks_T)
    return [jax.tree.map(lambda *parts: np.concatenate(parts), nothing, *row) for row in made]


@dataclasses.dataclass(frozen=True)
class _Piece:
    """What one call of the coarse model scores of a row."""

    row: int
    ids: np.ndarray  # the context, and all new tokens but the last
    begin: int  # position whose output the first new token is drawn from
    n_done: int  # tokens before the first new one
    n_steps: int


def _pieces(row: int, plan: CoarsePlan, tokens_N: np.ndarray) -> Iterator[_Piece]:
    for n_done, n_steps in segments([plan], plan.layout.coarse_window):
        context = plan.context(tokens_N[:n_done])
        ids = np.concatenate([context, tokens_N[n_done : n_done + n_steps - 1]])
        yield _Piece(row, ids, len(context) - 1, n_done, n_steps)


def _semantic_fn(
    params: Params,
    prompt_BT: jax.Array,
    drawn_BN: jax.Array,
    wanted_BT: jax.Array,
    rule: Rule,
    hooks: Hooks = NO_HOOKS,
    *,
    cfg: BarkConfig,
    execution: Execution,
    with_logits: bool,
) -> Marks:
    model = bind(GPT, cfg.semantic, execution, params=params)
    eos, first = cfg.tokens.semantic_pad_token, cfg.tokens.text_length
    ids_BT = split_rows(jnp.concatenate([prompt_BT, drawn_BN], axis=1))
    x_BTD = model.embed_merged(ids_BT, first)[:, : cfg.semantic.block_size]
    B, T = x_BTD.shape[:2]
    tap, seen = hooks.tap(lambda: Place(step_of(jnp.full(B, -first), T)))
    out_BTD = model(x_BTD, tap=tap)[0][:, first:]
    draw_T = jnp.arange(out_BTD.shape[1])

    def row(out_TD: jax.Array, drawn_N: jax.Array, wanted_T: jax.Array, rule: Rule) -> Marks:
        logits_TV = model.logits(out_TD)[:, : eos + 1]
        is_closed_V = ~rule.may_end_B & (jnp.arange(eos + 1) == eos)

        def context() -> DrawContext:
            drawn_TN = jnp.broadcast_to(drawn_N, (len(draw_T), len(drawn_N)))
            return DrawContext(draw_T, 0, eos, [(drawn_TN, draw_T)])

        logits_TV = jnp.where(is_closed_V[None], -jnp.inf, logits_TV)
        return _mark(logits_TV, wanted_T[: len(draw_T)], rule.by, context, with_logits)

    marks = jax.lax.map(lambda args: row(*args), (out_BTD, drawn_BN, wanted_BT, rule))
    return marks.replace(seen={name: value[:, first:] for name, value in seen.items()})


def _coarse_fn(
    params: Params,
    ids_BT: jax.Array,
    first_step_B: jax.Array,
    every_BN: jax.Array,
    rule: Rule,
    hooks: Hooks = NO_HOOKS,
    *,
    cfg: BarkConfig,
    execution: Execution,
    with_logits: bool,
) -> Marks:
    """Marks of the draw that follows each position.

    Args:
      first_step_B: number of the draw that follows the first position; it may be < 0.
      every_BN: ids of all draws of the row.
    """
    model = bind(GPT, cfg.coarse, execution, params=params)
    layout = cfg.tokens
    Q, V = layout.n_coarse_codebooks, layout.codebook_size
    T, fixed = ids_BT.shape[1], layout.coarse_semantic_length
    tap, seen = hooks.tap(lambda: Place(step_of(first_step_B, T, fixed)))
    out_BTD, _ = model(model.embed(split_rows(ids_BT)), tap=tap)

    def row(out_TD: jax.Array, first_step: jax.Array, every_N: jax.Array, rule: Rule) -> Marks:
        step_T = first_step + jnp.arange(ids_BT.shape[1])
        codebook_T = step_T % Q
        offset_T = layout.coarse_offset(0) + codebook_T * V
        logits_TQV = model.logits(out_TD, layout.coarse_offset(0), Q * V).reshape(-1, Q, V)
        logits_TV = jnp.take_along_axis(logits_TQV, codebook_T[:, None, None], axis=1)[:, 0]
        wanted_T = (every_N[jnp.clip(step_T, 0, len(every_N) - 1)] - offset_T).clip(0, V - 1)

        def context() -> DrawContext:
            drawn_TN = jnp.broadcast_to(every_N, (len(step_T), len(every_N)))
            drawn = [(drawn_TN, step_T)]
            return DrawContext(step_T // Q, codebook_T, None, drawn, offset_T[:, None])

        return _mark(logits_TV, wanted_T, rule.by, context, with_logits)

    marks = jax.lax.map(lambda args: row(*args), (out_BTD, first_step_B, every_BN, rule))
    return marks.replace(seen=_of_one_width(seen, cfg.coarse.block_size))


def _of_one_width(seen: Seen, width: int) -> Seen:
    """With as many columns of attention weights in a short context as in the longest."""
    return {
        name: jnp.pad(value, [(0, 0)] * 3 + [(0, width - value.shape[3])])
        if name.endswith(WEIGHTS)
        else value
        for name, value in seen.items()
    }


_semantic = jit(_semantic_fn, static_argnames=("cfg", "with_logits"))
_coarse = jit(_coarse_fn, static_argnames=("cfg", "with_logits"))


def _mark(
    logits_TV: jax.Array,
    token_T: jax.Array,
    by: Filter,
    context: Callable[[], DrawContext],
    with_logits: bool,
) -> Marks:
    """Under the values of one row: every position is a row of its own to the processors."""
    T = len(logits_TV)
    by_T = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (T, *leaf.shape)), by)
    logits_TV = filter_logits(logits_TV, by_T, context)
    return mark(logits_TV, token_T, by_T.temperature_B, with_logits)


def _groups(rows: Sequence[int], static: Static) -> list[list[int]]:
    return groups_per_call(rows, static["execution"].platform.parallel_rows)


def _taken(rule: Rule, rows: Sequence[int]) -> Rule:
    return jax.tree.map(lambda leaf: leaf[np.asarray(rows)], rule)


def _rows(marks: Marks) -> list[Marks]:
    """Those of each row, on the host."""
    fetched = jax.tree.map(fetch, marks)
    return [jax.tree.map(lambda leaf, i=i: leaf[i], fetched) for i in range(len(fetched.log_p_T))]


def _cut(marks: Marks, begin: int, count: int) -> Marks:
    def cut(leaf: np.ndarray) -> np.ndarray:
        kept = leaf[begin : begin + count]
        if not (missing := count - len(kept)):
            return kept
        widths = [(0, missing)] + [(0, 0)] * (kept.ndim - 1)
        fill = np.nan if kept.dtype == np.float32 else -1
        return np.pad(kept, widths, constant_values=fill)

    return jax.tree.map(cut, marks)


def _padded(row: np.ndarray, length: int) -> np.ndarray:
    return np.pad(row, (0, length - len(row))).astype(np.int32)
