"""How far a run is, by steps or by time, and whether it has been asked to stop."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import jax
import numpy as np


class Clock:
    """The share of a run that is done: the larger of the shares of its steps and of its time.

    A resumed run counts on from the seconds in its checkpoint. Processes that work together go by
    the first one's clock.
    """

    def __init__(self, steps: int | None, max_minutes: float | None, elapsed_s: float) -> None:
        self.steps = steps
        self.max_s = None if max_minutes is None else 60 * max_minutes
        self._begin = time.perf_counter() - elapsed_s
        self._agreed_s = elapsed_s
        self._rate_begin, self._counted = time.perf_counter(), 0.0

    def elapsed_s(self) -> float:
        return time.perf_counter() - self._begin

    def progress(self, step: int) -> float:
        """0 … 1 before a step."""
        by_steps = 0.0 if self.steps is None else step / self.steps
        by_time = 0.0 if self.max_s is None else self._agreed_s / self.max_s
        return min(1.0, max(by_steps, by_time))

    def total(self) -> int:
        """What a progress bar counts: steps, or seconds where steps have no limit."""
        return self.steps if self.steps is not None else int(self.max_s or 0)

    def done(self, step: int) -> int:
        """How much of `total` is done."""
        return step if self.steps is not None else min(self.total(), int(self._agreed_s))

    def agree(self, is_stopped: bool) -> bool:
        """Reads the first process's clock; returns whether any process has been asked to stop."""
        self._agreed_s = self.elapsed_s()
        if jax.process_count() == 1:
            return is_stopped
        from jax.experimental import multihost_utils

        found = multihost_utils.process_allgather(np.array([self._agreed_s, float(is_stopped)]))
        self._agreed_s = float(found[0, 0])
        return bool(found[:, 1].any())

    def count(self, targets: float) -> None:
        self._counted += targets

    def take_rate(self) -> float:
        """Targets per second since the last call."""
        now = time.perf_counter()
        rate = self._counted / max(now - self._rate_begin, 1e-9)
        self._rate_begin, self._counted = now, 0.0
        return rate


class StopSignal:
    """Set by SIGTERM, which clusters send before they take a machine away."""

    def __init__(self) -> None:
        self._is_set = False

    def is_set(self, clock: Clock) -> bool:
        """Whether any process has been asked to stop; brings `clock` up to date."""
        return clock.agree(self._is_set)

    @contextmanager
    def listening(self) -> Iterator["StopSignal"]:
        """Handles SIGTERM meanwhile; signals reach the main thread only."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = signal.signal(signal.SIGTERM, self._set)
        try:
            yield self
        finally:
            signal.signal(signal.SIGTERM, before)

    def _set(self, *_: object) -> None:
        self._is_set = True
