"""Fine codes of one text whose coarse codes come bit by bit."""

import dataclasses

import numpy as np

from bark_jax.batching import Batch
from bark_jax.decoding.noise import KeyNoise
from bark_jax.processors.rows import steps_of
from bark_jax.runtime.sharding import fetch
from bark_jax.stages.fine import (
    Processing,
    Window,
    fill_window,
    frames_of,
    kept_history,
    plan_windows,
)
from bark_jax.stages.runner import StageRunner


@dataclasses.dataclass(frozen=True, kw_only=True)
class Haste:
    """How much is given up for early sound."""

    first_frames: int  # handed out first; later ones twice as many each time, in multiples of it
    most_frames: int  # … up to this
    lookahead_frames: int  # of which only the coarse codes are used, as context
    coarse_first: bool  # the first frames have the coarse codebooks only


class FineFrames:
    """History and new frames, as far as they are known; later ones hold the pad token."""

    def __init__(self, runner: StageRunner, batch: Batch, most: int) -> None:
        """`most` new frames will come."""
        voice = batch.voices[0]
        self._runner = runner
        self.layout = runner.config.tokens
        history = None if voice is None else voice.fine
        self.n_history = kept_history(history, self.layout)
        nothing = np.zeros((0, most), np.int32)
        self.frames_TQ = frames_of(nothing, history, self.layout)
        self.n_known = 0  # new frames whose coarse codes are known
        self._noise = KeyNoise.of(batch.seeds, "fine")
        self._temperature_1 = np.array(batch.sampling["fine"]["temperature"], np.float32)
        self._steps = steps_of([chain.processors for chain in batch.sampling["fine"]["processors"]])

    def extend(self, coarse_QT: np.ndarray) -> None:
        """Adds the coarse codes of the next frames."""
        begin = self.n_history + self.n_known
        self.frames_TQ[begin : begin + coarse_QT.shape[1], : len(coarse_QT)] = coarse_QT.T
        self.n_known += coarse_QT.shape[1]

    def fill(self, window: Window, index: int) -> np.ndarray:
        """Runs the model on a window, the `index`-th; returns its frames (T, Q) from `fill` on."""
        codes_TQ = self.frames_TQ[window.start : window.start + self.layout.fine_window]
        missing = self.layout.fine_window - len(codes_TQ)
        pad = self.layout.fine_pad_token
        codes_TQ = np.pad(codes_TQ, ((0, missing), (0, 0)), constant_values=pad)
        first_1 = np.array([window.start - self.n_history], np.int32)
        with self._runner.on_device("fine") as params:
            codes_1TQ = fill_window(
                params,
                codes_TQ[None],
                np.array([window.n_seen], np.int32),
                self._temperature_1,
                self._noise,
                np.int32(self.layout.n_coarse_codebooks),
                np.int32(index),
                Processing.of(self._steps, [0], first_1),
                cfg=self._runner.config,
                execution=self._runner.execution_of("fine"),
            )
            return fetch(codes_1TQ)[0, window.n_seen :]

    def codes(self, begin: int, end: int) -> np.ndarray:
        """Codes (Q, T) of the new frames begin … end."""
        return self.frames_TQ[self.n_history + begin : self.n_history + end].T.astype(np.int32)


class ExactFrames:
    """The whole stage's windows, each as soon as all that it reads is known.

    The last window is counted from a row's end and writes some frames once more: a frame is final
    when no later window can write it.
    """

    def __init__(self, frames: FineFrames) -> None:
        self._frames = frames
        self._n_windows = 0  # that have been run
        self.n_done = 0  # frames handed out

    def advance(self, least: int, is_end: bool) -> np.ndarray:
        """Runs what can be run; returns the codes (Q, T) that have become final.

        Args:
          least: new frames that the row will have at least; with `is_end`, exactly.
        """
        frames, layout = self._frames, self._frames.layout
        size, hop, n_history = layout.fine_window, layout.fine_hop, frames.n_history
        windows = plan_windows(least, n_history, layout)
        while self._n_windows < len(windows):
            i = self._n_windows
            window = windows[i]
            is_planned = is_end or n_history + least >= size + hop * i
            if not is_planned or frames.n_known < min(least, window.start + size - n_history):
                break
            filled_TQ = frames.fill(window, i)
            frames.frames_TQ[window.fill : window.fill + len(filled_TQ)] = filled_TQ
            self._n_windows += 1
        final = self._final(windows, least, is_end)
        codes_QT = frames.codes(self.n_done, final)
        self.n_done = final
        return codes_QT

    def _final(self, windows: list[Window], least: int, is_end: bool) -> int:
        """New frames that no later window writes."""
        n_history, layout = self._frames.n_history, self._frames.layout
        later = windows[self._n_windows :]
        if not self._n_windows:
            return 0
        if is_end:
            return later[0].fill - n_history if later else least
        regular = n_history + layout.fine_hop * self._n_windows
        last = max(layout.fine_window, n_history + least) - layout.fine_hop
        return max(self.n_done, min(regular, last) - n_history)


class EarlyFrames:
    """Frames predicted before their row's end is known, as if it ended there.

    The model is told the frames so far, and pad tokens behind them: what it sees of a short
    utterance. Of its codes those are kept that have some frames after them; the first frames of all
    are handed out without its codebooks, so that nobody waits for it.
    """

    def __init__(self, frames: FineFrames, haste: Haste) -> None:
        self._frames, self._haste = frames, haste
        self._n_fine = 0  # frames that have all their codes
        self._due = haste.first_frames  # how many to hand out next
        self.n_done = 0  # frames handed out

    def advance(self, least: int, is_end: bool) -> np.ndarray:
        """The codes (Q, T) of the next frames, if there are as many as are due.

        Args:
          least: new frames that the row will have at least; with `is_end`, exactly.
        """
        frames, haste = self._frames, self._haste
        is_whole = is_end and frames.n_known >= least
        begins_coarse = haste.coarse_first and not self.n_done and not is_whole
        ahead = 0 if is_whole or begins_coarse else haste.lookahead_frames
        n_ready = frames.n_known - ahead - self.n_done
        if not is_whole:
            n_ready = n_ready // haste.first_frames * haste.first_frames
            if n_ready < self._due:
                return frames.codes(0, 0)
            self._due = min(2 * self._due, haste.most_frames)
        begin, self.n_done = self.n_done, self.n_done + n_ready
        if begins_coarse:
            return frames.codes(begin, self.n_done)[: frames.layout.n_coarse_codebooks]
        while self._n_fine < self.n_done:
            self._predict()
        return frames.codes(begin, self.n_done)

    def _predict(self) -> None:
        """Predicts frames up to `n_done`, as many as fit into a window."""
        frames, layout = self._frames, self._frames.layout
        known, at = frames.n_history + frames.n_known, frames.n_history + self._n_fine
        # the exact windows' bounds, and so the same noise; frames before the new ones come first
        later = -(-max(0, known - layout.fine_window) // layout.fine_hop)
        index = min(later, max(0, at - 1) // layout.fine_hop)
        window = Window(layout.fine_hop * index, at)
        end = min(frames.n_history + self.n_done, window.start + layout.fine_window)
        frames.frames_TQ[at:end] = frames.fill(window, index)[: end - at]
        self._n_fine = end - frames.n_history
