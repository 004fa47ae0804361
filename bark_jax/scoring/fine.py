"""Scores of the fine stage: its windows once more, with the codes that came of them.

The model sees all frames at once, those as well that are no part of the result: frames after the
end, and what a later window writes over. They are drawn anew, so the scores of a generation need
the seed and the values that it was made with.
"""

from collections.abc import Sequence

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.config import BarkConfig
from bark_jax.decoding.noise import Noise
from bark_jax.hooks.tap import NO_HOOKS, Hooks
from bark_jax.models.binding import bind
from bark_jax.models.fine_gpt import FineGPT
from bark_jax.params import Params
from bark_jax.processors.rows import steps_of
from bark_jax.runtime.compiling import jit
from bark_jax.runtime.execution import Execution
from bark_jax.runtime.sharding import fetch, split_rows
from bark_jax.sampling_config import Rows
from bark_jax.scoring.marks import Marks, mark
from bark_jax.stages.fine import FineRows, Processing, Window, predict

FREE = -1  # a code that is drawn


@flax.struct.dataclass
class Given:
    """What is known of a window."""

    codes_BTQ: jax.Array  # before it is filled
    wanted_BTQ: jax.Array  # the codes that come of it; `FREE` where others do not matter
    n_seen_B: jax.Array


def score_fine(
    params: Params,
    codes: Sequence[np.ndarray],
    histories: Sequence[np.ndarray | None],
    rows: Rows,
    noise: Noise,
    temperatures: Sequence[float],
    *,
    n_given: int,
    is_processed: bool,
    cfg: BarkConfig,
    execution: Execution,
    with_logits: bool,
    hooks: Hooks = NO_HOOKS,
) -> list[Marks]:
    """Marks of every code (Q, T) of every row; those of given codebooks are NaN.

    Args:
      codes: codes (Q, T) of every row.
      rows, noise: as the codes were drawn, see `stages.fine.generate_fine`.
      temperatures: of the distributions that codes are scored under, one per row.
      n_given: codebooks that are not predicted.
      hooks: edits of the rows, and what is kept of every frame.
      is_processed: whether the processors of `rows` change those distributions.
    """
    work = FineRows([codes_QT[:n_given] for codes_QT in codes], histories, cfg.tokens)
    steps = steps_of([chain.processors for chain in rows["processors"]])
    made: list[Marks | None] = [None] * len(codes)
    for turn in work.turns(execution.platform.parallel_rows):
        wanted = [
            _wanted(
                codes[r], work.n_history[r], work.windows[r], turn.index, cfg.tokens.fine_window
            )
            for r in turn.rows
        ]
        marks, codes_BTQ = _score_window(
            params,
            Given(turn.codes_BTQ, np.stack(wanted), turn.n_seen_B),  # pyright: ignore
            np.array([rows["temperature"][row] for row in turn.rows], np.float32),
            np.array([temperatures[row] for row in turn.rows], np.float32),
            noise.take(turn.rows),
            np.int32(turn.index),
            Processing.of(steps, turn.rows, turn.first_B),
            hooks.take(turn.rows, turn.first_B),
            n_given=n_given,
            is_processed=is_processed,
            cfg=cfg,
            execution=execution,
            with_logits=with_logits,
        )
        work.put(turn, fetch(codes_BTQ))
        marks = jax.tree.map(fetch, marks)
        for i, row in enumerate(turn.rows):
            is_final_T = wanted[i][:, -1] != FREE
            first = work.windows[row][turn.index].start - work.n_history[row]
            made[row] = _put(
                made[row],
                jax.tree.map(lambda leaf, i=i, kept=is_final_T: leaf[:, i, kept], marks),
                first + np.flatnonzero(is_final_T),
                codes[row].shape,
            )
    return [marks for marks in made if marks is not None]


def _wanted(
    codes_QT: np.ndarray, n_history: int, windows: Sequence[Window], index: int, size: int
) -> np.ndarray:
    """The codes (size, Q) that come of a window: those that no later one writes over."""
    Q, T = codes_QT.shape
    window = windows[index]
    end = windows[index + 1].fill if index + 1 < len(windows) else n_history + T
    wanted_TQ = np.full((size, Q), FREE, np.int32)
    new = slice(window.fill - n_history, end - n_history)
    wanted_TQ[window.n_seen : window.n_seen + end - window.fill] = codes_QT[:, new].T
    return wanted_TQ


def _put(known: Marks | None, marks: Marks, frames: np.ndarray, shape: tuple[int, ...]) -> Marks:
    """Writes marks of the predicted codebooks at some frames; unknown ones are NaN (rank -1)."""

    def empty(leaf: np.ndarray) -> np.ndarray:
        fill = np.nan if leaf.dtype == np.float32 else -1
        return np.full((*shape, *leaf.shape[2:]), fill, leaf.dtype)

    known = jax.tree.map(empty, marks) if known is None else known
    for old, new in zip(jax.tree.leaves(known), jax.tree.leaves(marks), strict=True):
        old[len(old) - len(new) :, frames] = new
    return known  # pyright: ignore[reportReturnType]


def _score_window_fn(
    params: Params,
    given: Given,
    drawn_at_B: jax.Array,
    temperature_B: jax.Array,
    noise: Noise,
    index: jax.Array,
    processing: Processing | None,
    hooks: Hooks = NO_HOOKS,
    *,
    n_given: int,
    is_processed: bool,
    cfg: BarkConfig,
    execution: Execution,
    with_logits: bool,
) -> tuple[Marks, jax.Array]:
    """Marks (predicted codebooks, B, T) of a window, and its codes.

    Args:
      drawn_at_B, temperature_B: temperatures of the draws, and of the marks.
    """
    model = bind(FineGPT, cfg.fine, execution, params=params)
    codes_BTQ = split_rows(given.codes_BTQ)
    B, T, Q = codes_BTQ.shape
    is_new_BT = jnp.arange(T)[None] >= given.n_seen_B[:, None]

    def fill(codes_BTQ: jax.Array, codebook: jax.Array) -> tuple[jax.Array, Marks]:
        found = predict(
            model, codes_BTQ, codebook, index, drawn_at_B, noise, processing, hooks, cfg.tokens
        )
        wanted_BT = jnp.take(given.wanted_BTQ, codebook, axis=2)
        code_BT = jnp.where(wanted_BT == FREE, found.code_BT, wanted_BT)
        old_BT = jnp.take(codes_BTQ, codebook, axis=2)
        codes_BTQ = codes_BTQ.at[:, :, codebook].set(jnp.where(is_new_BT, code_BT, old_BT))
        logits_BTV = found.logits_BTV if is_processed else found.raw_BTV
        marks = mark(
            logits_BTV.reshape(B * T, -1),
            code_BT.reshape(-1),
            jnp.repeat(temperature_B, T),
            with_logits,
        )
        marks = jax.tree.map(lambda leaf: leaf.reshape(B, T, *leaf.shape[1:]), marks)
        return codes_BTQ, marks.replace(seen=found.seen)

    codes_BTQ, marks = jax.lax.scan(fill, codes_BTQ, jnp.arange(n_given, Q))
    return marks, codes_BTQ


_score_window = jit(
    _score_window_fn, static_argnames=("n_given", "is_processed", "cfg", "with_logits")
)
