"""The first codebooks of the codec to all of them.

Source: suno-ai/bark @f4f32d4, bark/generation.py, generate_fine.
Differs: batched, each row with its own windows.
"""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.config import BarkConfig, TokenLayout
from bark_jax.decoding.noise import Noise
from bark_jax.decoding.sampling import draw
from bark_jax.hooks.edits import Place
from bark_jax.hooks.tap import NO_HOOKS, Hooks, step_of
from bark_jax.models.binding import bind
from bark_jax.models.fine_gpt import FineGPT
from bark_jax.models.forward import Seen
from bark_jax.params import Params
from bark_jax.processors.context import DrawContext
from bark_jax.processors.rows import Step, apply_steps, steps_of
from bark_jax.runtime.compiling import jit
from bark_jax.runtime.execution import Execution
from bark_jax.runtime.sharding import fetch, groups_per_call, split_rows
from bark_jax.sampling_config import Rows
from bark_jax.watching import Look


@dataclasses.dataclass(frozen=True)
class Window:
    """The frames that one call of the model reads, and which of them are new."""

    start: int  # first frame of the window
    fill: int  # first frame that is written

    @property
    def n_seen(self) -> int:
        """Frames at the window's beginning that are only read."""
        return self.fill - self.start


@flax.struct.dataclass
class Processing:
    """The processors of the rows in one window."""

    steps: tuple[Step, ...]
    first_B: Any  # int32, number of the window's first frame among the row's new ones

    @classmethod
    def of(
        cls, steps: tuple[Step, ...], rows: Sequence[int], first_B: np.ndarray
    ) -> "Processing | None":
        """Those of these rows; None where there are none, so that the program has no part of it."""
        taken = jax.tree.map(lambda leaf: leaf[np.array(rows)], steps)
        return cls(taken, first_B) if steps else None


def generate_fine(
    params: Params,
    coarse: Sequence[np.ndarray],
    histories: Sequence[np.ndarray | None],
    rows: Rows,
    noise: Noise,
    *,
    cfg: BarkConfig,
    execution: Execution,
    hooks: Hooks = NO_HOOKS,
    report: Callable[[int], None] | None = None,
    look: Look | None = None,
) -> list[np.ndarray]:
    """Predicts the missing codebooks of every row.

    Args:
      coarse: given codes (q, T_row) of every row; one q for all rows, 1 … Q-1.
      histories: codes (Q, T') of a voice, or None.
      rows: one value per row of each field of `FineSampling`.
      noise: of the draws; injected noise is (B, windows x Q, fine_window, codebook size), step
        `window * Q + codebook`, aligned with the window (noise before the new frames is not used).
      hooks: edits of the rows.
      report: called with the number of windows done.
      look: called with the codes so far after each window; see `watching.Watch`.
    Returns:
      Codes (Q, T_row) int32 of every row, the given ones unchanged.
    """
    work = FineRows(coarse, histories, cfg.tokens)
    steps = steps_of([chain.processors for chain in rows["processors"]])
    n_done = 0
    for turn in work.turns(execution.platform.parallel_rows):
        codes_BTQ = fill_window(
            params,
            turn.codes_BTQ,
            turn.n_seen_B,
            np.array([rows["temperature"][row] for row in turn.rows], np.float32),
            noise.take(turn.rows),
            np.int32(len(coarse[0])),
            np.int32(turn.index),
            Processing.of(steps, turn.rows, turn.first_B),
            hooks.take(turn.rows, turn.first_B),
            cfg=cfg,
            execution=execution,
        )
        work.put(turn, fetch(codes_BTQ))
        n_done += len(set(turn.rows))
        if report is not None:
            report(n_done)
        if look is not None:
            at_hand = {row: codes for row, codes in enumerate(work.codes()) if row in turn.rows}
            work.end(look(at_hand, [row for row in at_hand if work.is_running(row, turn)]))
    return work.codes()


@dataclasses.dataclass(frozen=True)
class Turn:
    """One call of the model: one window each of some rows."""

    index: int  # of the window
    rows: list[int]  # a row may fill up the group more than once
    codes_BTQ: np.ndarray
    n_seen_B: np.ndarray  # int32, see `Window.n_seen`
    first_B: np.ndarray  # int32, number of the window's first frame among the row's new ones


class FineRows:
    """The frames of every row while its windows are filled one after another."""

    def __init__(
        self,
        coarse: Sequence[np.ndarray],
        histories: Sequence[np.ndarray | None],
        layout: TokenLayout,
    ) -> None:
        self.layout = layout
        self.n_new = [codes_QT.shape[1] for codes_QT in coarse]
        self.n_history = [kept_history(h, layout) for h in histories]
        self.frames = [frames_of(c, h, layout) for c, h in zip(coarse, histories, strict=True)]
        self.windows = [
            plan_windows(n_new, n_history, layout)
            for n_new, n_history in zip(self.n_new, self.n_history, strict=True)
        ]

    def turns(self, parallel_rows: int) -> Iterator[Turn]:
        """All windows, the first of every row first. `put` the result before the next turn."""
        for index in range(max(len(row) for row in self.windows)):
            active = [row for row, plan in enumerate(self.windows) if index < len(plan)]
            for rows in groups_per_call(active, parallel_rows):
                windows = [self.windows[row][index] for row in rows]
                codes = [
                    self.frames[r][self._extent(w)] for r, w in zip(rows, windows, strict=True)
                ]
                first = [w.start - self.n_history[r] for r, w in zip(rows, windows, strict=True)]
                yield Turn(
                    index,
                    rows,
                    np.stack(codes),
                    np.array([w.n_seen for w in windows], np.int32),
                    np.array(first, np.int32),
                )

    def put(self, turn: Turn, codes_BTQ: np.ndarray) -> None:
        """Writes the new frames of a window."""
        for row, codes_TQ in zip(turn.rows, codes_BTQ, strict=True):
            window = self.windows[row][turn.index]
            self.frames[row][self._extent(window)][window.n_seen :] = codes_TQ[window.n_seen :]

    def is_running(self, row: int, turn: Turn) -> bool:
        """Whether a row has windows after this turn's."""
        return turn.index + 1 < len(self.windows[row])

    def end(self, rows: Collection[int]) -> None:
        """Gives up the windows of these rows that have not had their turn."""
        for row in rows:
            self.windows[row] = []

    def codes(self) -> list[np.ndarray]:
        """Codes (Q, T_row) int32 of the new frames."""
        return [
            frames[n_history : n_history + n_new].T.astype(np.int32)
            for frames, n_history, n_new in zip(
                self.frames, self.n_history, self.n_new, strict=True
            )
        ]

    def _extent(self, window: Window) -> slice:
        return slice(window.start, window.start + self.layout.fine_window)


def plan_windows(n_frames: int, n_history: int, layout: TokenLayout) -> list[Window]:
    """Windows of a row of `n_frames` new frames after `n_history` frames of history.

    As in the original, later windows predict again part of what earlier ones wrote.
    """
    size, hop = layout.fine_window, layout.fine_hop
    total = max(size, n_history + n_frames)
    count = max(0, -(-(n_frames - (size - n_history)) // hop)) + 1
    return [
        Window(min(hop * i, total - size), min(n_history + hop * i, total - hop))
        for i in range(count)
    ]


def n_windows(
    coarse: Sequence[np.ndarray], histories: Sequence[np.ndarray | None], layout: TokenLayout
) -> list[int]:
    """Windows of each row."""
    return [
        len(plan_windows(c.shape[1], kept_history(h, layout), layout))
        for c, h in zip(coarse, histories, strict=True)
    ]


def kept_history(history_QT: np.ndarray | None, layout: TokenLayout) -> int:
    """Frames of a voice that come before a row's own."""
    return 0 if history_QT is None else min(layout.fine_history, history_QT.shape[1])


def frames_of(
    coarse_QT: np.ndarray, history_QT: np.ndarray | None, layout: TokenLayout
) -> np.ndarray:
    """Frames (T, Q) of one row: history, given codes, and the pad token where nothing is known."""
    n_history, n_new = kept_history(history_QT, layout), coarse_QT.shape[1]
    total = max(layout.fine_window, n_history + n_new)
    frames_TQ = np.full((total, layout.n_fine_codebooks), layout.fine_pad_token, np.int32)
    if history_QT is not None:
        frames_TQ[:n_history] = history_QT[:, history_QT.shape[1] - n_history :].T
    frames_TQ[n_history : n_history + n_new, : len(coarse_QT)] = coarse_QT.T
    return frames_TQ


def _fill_window_fn(
    params: Params,
    codes_BTQ: jax.Array,
    n_seen_B: jax.Array,
    temperature_B: jax.Array,
    noise: Noise,
    n_given: jax.Array,
    index: jax.Array,
    processing: Processing | None = None,
    hooks: Hooks = NO_HOOKS,
    *,
    cfg: BarkConfig,
    execution: Execution,
) -> jax.Array:
    """Predicts codebooks `n_given` … Q-1 in turn; returns the window with new frames filled in."""
    layout = cfg.tokens
    model = bind(FineGPT, cfg.fine, execution, params=params)
    codes_BTQ = split_rows(codes_BTQ)
    _, T, Q = codes_BTQ.shape
    is_new_BT = jnp.arange(T)[None] >= n_seen_B[:, None]

    def fill(codebook: jax.Array, codes_BTQ: jax.Array) -> jax.Array:
        code_BT = predict(
            model, codes_BTQ, codebook, index, temperature_B, noise, processing, hooks, layout
        ).code_BT
        old_BT = jnp.take(codes_BTQ, codebook, axis=2)
        return codes_BTQ.at[:, :, codebook].set(jnp.where(is_new_BT, code_BT, old_BT))

    return jax.lax.fori_loop(n_given, Q, fill, codes_BTQ)


class Prediction(NamedTuple):
    """One codebook of a window."""

    raw_BTV: jax.Array  # logits before the processors
    logits_BTV: jax.Array  # and after them
    code_BT: jax.Array  # drawn from the latter
    seen: Seen  # what hooks kept


def predict(
    model: FineGPT,
    codes_BTQ: jax.Array,
    codebook: jax.Array,
    index: jax.Array,
    temperature_B: jax.Array,
    noise: Noise,
    processing: Processing | None,
    hooks: Hooks,
    layout: TokenLayout,
) -> Prediction:
    """One codebook of window number `index`."""
    B, T, Q = codes_BTQ.shape
    tap, seen = hooks.tap(
        lambda: Place(step_of(hooks.first_B, T), codebook),
        is_causal=False,
    )
    out_BTD, _ = model(codes_BTQ, codebook, tap=tap)
    raw_BTV = logits_BTV = model.logits(out_BTD, codebook, layout.codebook_size)
    if processing is not None:
        logits_BTV = _process(logits_BTV, codebook, processing)
    step_B = jnp.broadcast_to(index * Q + codebook, (B,))
    gumbel_BTV = noise.gumbel(step_B, (T, layout.codebook_size))
    flat = (B * T, layout.codebook_size)
    code_BT = draw(
        logits_BTV.reshape(flat), gumbel_BTV.reshape(flat), jnp.repeat(temperature_B, T)
    ).reshape(B, T)
    return Prediction(raw_BTV, logits_BTV, code_BT, seen)


def _process(logits_BTV: jax.Array, codebook: jax.Array, by: Processing) -> jax.Array:
    """All frames at once: a frame knows its number, and nothing of the others."""

    def process(logits_BV: jax.Array, at: jax.Array) -> jax.Array:
        return apply_steps(logits_BV, by.steps, lambda: DrawContext(by.first_B + at, codebook))

    return jax.vmap(process, (1, 0), 1)(logits_BTV, jnp.arange(logits_BTV.shape[1]))


fill_window = jit(_fill_window_fn, static_argnames=("cfg",))
