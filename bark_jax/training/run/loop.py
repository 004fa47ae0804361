"""The steps of a run, and what happens between them: rows, evaluation, checkpoints.

The host never waits for a step just to read its loss: metrics are read while the device is busy
with later calls.
"""

import collections
import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from bark_jax.params import flatten, unflatten
from bark_jax.runtime.compiling import notice
from bark_jax.runtime.progress import work_bar
from bark_jax.tracking import Tracker
from bark_jax.training.run.batches import HostBatch
from bark_jax.training.run.checkpoints import Checkpoints
from bark_jax.training.run.journal import Journal, Means
from bark_jax.training.run.mesh import place_batch
from bark_jax.training.run.schedule import Clock, StopSignal
from bark_jax.training.run.settings import FinetuneSettings
from bark_jax.training.run.step import Stepper, TrainState

# names of these fields in checkpoints: the original ones, so that all stay readable
ON_DISK = {"trainable": "changed", "frozen": "kept", "opt_state": "optimizer", "ema": "average"}
IN_FLIGHT = 2  # calls that the device may hold before the host waits for the oldest


class TrainingDiverged(FloatingPointError):
    """A loss or gradient was not a finite number; the run stopped there."""


@dataclasses.dataclass
class Loop:
    """One run from its first or restored step on."""

    settings: FinetuneSettings
    stepper: Stepper
    state: TrainState
    batches: Any  # grain's iterator
    evaluation: list[HostBatch]
    checkpoints: Checkpoints
    constants: int  # fingerprint of what checkpoints do not hold
    journal: Journal | None  # of the first process
    tracker: Tracker
    clock: Clock
    stop: StopSignal
    means: Means
    replaced: frozenset[str]  # names in `state.frozen` that steps change
    sample: Callable[[TrainState, int], None]
    step: int = 0  # steps given to the device
    rate: float = 0.0  # learning rate of the last step read
    loss: float | None = None  # of about the last ten steps read, for the bar
    evaluated: int | None = None  # last step with an evaluation, and its loss
    eval_loss: float | None = None
    saved: int | None = None  # last step in `checkpoints`
    pending: collections.deque[tuple[int, Mapping[str, jax.Array]]] = dataclasses.field(
        default_factory=collections.deque
    )

    def run(self) -> str:
        """Trains until the end; returns why it ended: "steps", "time" or "signal".

        Raises:
          TrainingDiverged: the loss is not a finite number.
          OSError, ValueError: data cannot be read, or checkpoints cannot be written.
        """
        begun = self.step
        stage, is_first = self.settings.stage, self.journal is not None
        unit = "second" if self.settings.steps is None else "step"
        done = self.clock.done(begun)
        with work_bar(self.clock.total(), unit, desc=stage, initial=done, wanted=is_first) as bar:
            while (reason := self._reason_to_end()) is None:
                with notice(f"the {stage} training step", shown=is_first and self.step == begun):
                    self._call(self._next_length())
                self._between_calls()
                if self.loss is not None:
                    bar.set_postfix_str(f"loss {self.loss:.4g}", refresh=False)
                bar.update(self.clock.done(self.step) - bar.n)
        self._read_pending(0)
        if reason != "signal" and self.step > begun and self.evaluated != self.step:
            self._evaluate_now()
        if self.saved != self.step:
            self.save()
        self.checkpoints.wait()
        return reason

    def _reason_to_end(self) -> str | None:
        if self.stop.is_set(self.clock):
            return "signal"
        if self.settings.steps is not None and self.step >= self.settings.steps:
            return "steps"
        return "time" if self.clock.progress(self.step) >= 1 else None

    def _next_length(self) -> int:
        """Steps of the next call: `steps_per_call`, or one if something is due before."""
        wanted, s = self.settings.steps_per_call, self.settings
        ends = [every - self.step % every for every in (s.eval_every, s.save_every)]
        ends += [s.sample_every - self.step % s.sample_every] if s.sample_every else []
        ends += [s.steps - self.step] if s.steps is not None else []
        return wanted if min(ends) >= wanted else 1

    def _call(self, length: int) -> None:
        """Gives the device `length` steps."""
        batches = [next(self.batches) for _ in range(length)]
        stacked = {
            name: np.stack([_cut(batch[name], self.settings.accumulate) for batch in batches])
            for name in batches[0]
        }
        progress_K = np.asarray(
            [self.clock.progress(self.step + k) for k in range(length)], np.float32
        )
        placed = place_batch(self.stepper.mesh, stacked)
        self.state, metrics = self.stepper.run(self.state, placed, progress_K)
        self.pending.append((self.step, metrics))
        self.step += length
        self._read_pending(IN_FLIGHT)

    def _read_pending(self, allowed: int) -> None:
        """Waits until at most `allowed` calls are unread, and logs those read."""
        while len(self.pending) > allowed:
            first, metrics = self.pending.popleft()
            on_host = {name: np.asarray(values) for name, values in metrics.items()}
            for k in range(len(on_host["loss"])):
                step = first + k + 1
                self._take(step, {name: float(values[k]) for name, values in on_host.items()})

    def _take(self, step: int, values: dict[str, float]) -> None:
        """One step's metrics."""
        if not (math.isfinite(values["loss"]) and math.isfinite(values["grad_norm"])):
            self._diverged(step, values)
        self.clock.count(values.pop("targets"))
        self.rate = values.pop("learning_rate")
        self.means.add(values)
        self.loss = values["loss"] if self.loss is None else 0.9 * self.loss + 0.1 * values["loss"]
        is_evaluated = step % self.settings.eval_every == 0 or step == self.settings.steps
        if step % self.settings.log_every == 0 and not is_evaluated:
            self._write_row(step, {})

    def _write_row(self, step: int, more: Mapping[str, float]) -> None:
        row = {"step": step, **self.means.take(), **more, "learning_rate": self.rate}
        row |= {"tokens_per_s": self.clock.take_rate(), "elapsed_s": self.clock.elapsed_s()}
        if self.journal is not None:
            self.journal.write(row)
        self.tracker.log({k: v for k, v in row.items() if k != "step"}, step)

    def _between_calls(self) -> None:
        """Does what is due after this step."""
        if self.step % self.settings.eval_every == 0:
            self._evaluate_now()
        if self.settings.sample_every and self.step % self.settings.sample_every == 0:
            self.sample(self.state, self.step)
        if self.step % self.settings.save_every == 0:
            self.save()

    def _evaluate_now(self) -> None:
        """Evaluates, and writes the row of this step."""
        self._read_pending(0)
        found = self.evaluate()
        self.evaluated, self.eval_loss = self.step, found.get("eval_loss")
        self._write_row(self.step, found)

    def evaluate(self) -> dict[str, float]:
        """`eval_…` of every sum of the task, over the evaluation batches; {} without any."""
        totals: dict[str, np.ndarray] = {}
        for batch in self.evaluation:
            placed = place_batch(self.stepper.mesh, {n: a[None, None] for n, a in batch.items()})
            for name, pair in self.stepper.evaluate(self.state, placed).items():
                totals[name] = totals.get(name, np.zeros(2)) + np.asarray(pair, np.float64)
        return {f"eval_{name}": float(s / max(w, 1e-9)) for name, (s, w) in totals.items()}

    def save(self) -> None:
        """Begins to write a checkpoint of this step, if all of it is finite."""
        self._read_pending(0)
        if not self.stepper.is_finite(self.state):
            self._diverged(self.step, {})
        host = {
            "data": self.batches.get_state(),
            "elapsed_s": self.clock.elapsed_s(),
            "means": self.means.totals,
            "constants": self.constants,
        }
        eval_loss = self.eval_loss if self.evaluated == self.step else None
        self.checkpoints.save(self.step, arrays(self.state, self.replaced), host, eval_loss)
        self.saved = self.step

    def _diverged(self, step: int, values: Mapping[str, float]) -> None:
        self.checkpoints.wait()
        bad = ", ".join(f"{n} {v}" for n, v in values.items() if not math.isfinite(v))
        last = self.checkpoints.latest
        kept = "no checkpoint was written before" if last is None else f"step {last} is kept"
        raise TrainingDiverged(
            f"training diverged at step {step} ({bad or 'parameters are not finite'}); {kept} in "
            f"{self.settings.out}/checkpoints. Try a lower optimizer.learning_rate or more "
            "optimizer.warmup_steps, in another out"
        )


def arrays(state: TrainState, replaced: frozenset[str]) -> dict[str, Any]:
    """What a checkpoint holds of the state: all that steps change."""
    frozen = {name: leaf for name, leaf in flatten(state.frozen).items() if name in replaced}
    fields = {**_fields(state), "frozen": unflatten(frozen)}
    return {ON_DISK.get(name, name): value for name, value in fields.items()}


def with_arrays(state: TrainState, restored: Mapping[str, Any]) -> TrainState:
    """The state with the arrays of a checkpoint."""
    fields = {name: restored[ON_DISK.get(name, name)] for name in _fields(state)}
    fields["frozen"] = unflatten(flatten(state.frozen) | flatten(fields["frozen"]))
    return TrainState(**fields)


def _fields(state: TrainState) -> dict[str, Any]:
    return {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}


def _cut(rows: np.ndarray, n_micro: int) -> np.ndarray:
    """Rows (B, …) as micro-batches (n_micro, B / n_micro, …)."""
    return rows.reshape(n_micro, len(rows) // n_micro, *rows.shape[1:])
