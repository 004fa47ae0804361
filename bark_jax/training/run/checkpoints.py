"""The checkpoints of a run: Orbax steps, written in the background; the last few and the best stay.

A step holds the arrays of the run and, as JSON, what the host needs to resume: the place in the
data, the seconds spent, means not yet logged. It appears under its name only when complete.
"""

import contextlib
import copy
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from bark_jax.runtime.abandoned import leave_abandoned_reads_unreported, root_of

BY = "eval_loss"  # the metric that decides which checkpoint is the best


class Checkpoints:
    """Saves and restores; use as a context manager, which waits for the last save at its end."""

    def __init__(self, directory: Path, keep: int) -> None:
        if keep < 1:
            raise ValueError(f"keep={keep}, want at least 1")
        logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax logs every save
        policies = ocp.training.preservation_policies
        best = policies.BestN(
            n=1, reverse=True, get_metric_fn=_loss, keep_checkpoints_without_metrics=False
        )
        kept: Any = policies.AnyPreservationPolicy([policies.LatestN(keep), best])
        self._checkpointer = ocp.training.Checkpointer(
            str(directory.resolve()),
            preservation_policy=kept,
            cleanup_tmp_directories=True,
        )

    @property
    def latest(self) -> int | None:
        """The last step saved."""
        found = self._checkpointer.latest
        return None if found is None else found.step

    def best(self) -> int | None:
        """The step with the lowest evaluation loss among those kept."""
        rated = [c for c in self._checkpointer.checkpoints if c.metrics]
        return min(rated, key=lambda c: _loss(c.metrics)).step if rated else None

    def save(
        self, step: int, arrays: Any, host: Mapping[str, Any], eval_loss: float | None
    ) -> None:
        """Begins to save; returns as soon as the arrays and `host` may change again.

        Raises:
          OSError: this save or the one before cannot be written; earlier ones are kept.
        """
        with self._failure_named():
            self._checkpointer.save_async(
                step,
                arrays,
                force=True,
                metrics=None if eval_loss is None else {BY: eval_loss},
                custom_metadata=copy.deepcopy(dict(host)),  # written in the background
            )

    def restore(self, step: int, like: Any) -> tuple[Any, dict[str, Any]]:
        """The arrays of a step, laid out as those of `like`, and its host data.

        Raises:
          ValueError: it cannot be read, or belongs to another model.
        """
        target = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), like
        )
        leave_abandoned_reads_unreported()
        try:
            arrays = self._checkpointer.load(step, target)
            host: Any = self._checkpointer.metadata(step).custom_metadata
        except Exception as error:
            raise ValueError(
                f"cannot read step {step} of {self._checkpointer.directory}: {root_of(error)}"
            ) from None
        return arrays, dict(host)

    def wait(self) -> None:
        """Returns once everything is on disk. Raises OSError if it cannot be written."""
        with self._failure_named():
            self._checkpointer.wait()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._checkpointer.close()
            return
        with contextlib.suppress(Exception):  # the error under way says what is wrong
            self._checkpointer.close()

    @contextlib.contextmanager
    def _failure_named(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise OSError(
                f"cannot save to {self._checkpointer.directory}: {error}. The checkpoints before "
                "are kept; with room on the disk the same command goes on"
            ) from error


def _loss(metrics: Any) -> float:
    return float(metrics[BY])
