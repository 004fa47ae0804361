"""Where a run reports to besides its own files: nowhere, or Weights & Biases.

Tracking is a convenience: its first failure is reported on stderr, and the run goes on.
"""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

KINDS = ("none", "wandb")
MODES = ("online", "offline", "disabled")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrackingSettings:
    """Which tracker, and what it calls the run."""

    kind: str = "none"
    mode: str = "offline"  # of wandb
    project: str = "bark_jax"
    entity: str | None = None
    name: str | None = None
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field, allowed in (("kind", KINDS), ("mode", MODES)):
            if (value := getattr(self, field)) not in allowed:
                raise ValueError(f"tracking.{field}={value!r} is not one of {allowed}")


@dataclasses.dataclass(frozen=True)
class Sound:
    """A cell of a table: an audio file."""

    path: Path
    caption: str


@dataclasses.dataclass(frozen=True)
class Picture:
    """A cell of a table: an image file."""

    path: Path


class Tracker(Protocol):
    """What a run reports. No method raises an error of the tracker."""

    def log(self, values: Mapping[str, Any], step: int) -> None:
        """Numbers of one step."""
        ...

    def audio(self, name: str, samples: np.ndarray, rate: int, caption: str, step: int) -> None:
        """Float32 samples (S,) at `rate` Hz."""
        ...

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Rows of plain values, `Sound`s and `Picture`s, whose files may be deleted afterwards."""
        ...

    def finish(self) -> None:
        """Called after the last step."""
        ...


class NullTracker:
    """Reports nowhere."""

    def log(self, values: Mapping[str, Any], step: int) -> None:
        pass

    def audio(self, name: str, samples: np.ndarray, rate: int, caption: str, step: int) -> None:
        pass

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        pass

    def finish(self) -> None:
        pass


class WandbTracker:
    """Reports to Weights & Biases; resumes the run of `run_id` if there is one."""

    def __init__(
        self, settings: TrackingSettings, directory: Path, config: Mapping[str, Any], run_id: str
    ) -> None:
        self._run: Any = None
        self._has_failed = False
        with self._guarded():
            import wandb

            self._run = wandb.init(
                project=settings.project,
                entity=settings.entity,
                name=settings.name,
                tags=list(settings.tags),
                mode=settings.mode,  # type: ignore[arg-type]  # checked by TrackingSettings
                dir=str(directory),
                config=dict(config),
                id=run_id,
                resume="allow",
            )

    def log(self, values: Mapping[str, Any], step: int) -> None:
        with self._guarded():
            if self._run is not None:
                self._run.log(dict(values), step=step)

    def audio(self, name: str, samples: np.ndarray, rate: int, caption: str, step: int) -> None:
        with self._guarded():
            if self._run is not None:
                import wandb

                sound = wandb.Audio(samples, sample_rate=rate, caption=caption)
                self._run.log({name: sound}, step=step)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        with self._guarded():
            if self._run is not None:
                import wandb

                data = [[_wandb_cell(value) for value in row] for row in rows]
                made = wandb.Table(columns=list(columns), data=data, allow_mixed_types=True)
                self._run.log({name: made})

    def finish(self) -> None:
        with self._guarded():
            if self._run is not None:
                self._run.finish()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not self._has_failed:
                print(f"tracking failed, the run goes on without it: {error}", file=sys.stderr)
            self._has_failed = True


def _wandb_cell(value: Any) -> Any:
    import wandb

    if isinstance(value, Sound):
        return wandb.Audio(str(value.path), caption=value.caption)
    return wandb.Image(str(value.path)) if isinstance(value, Picture) else value


def make_tracker(
    settings: TrackingSettings, directory: Path, config: Mapping[str, Any], run_id: str
) -> Tracker:
    """The tracker of a run.

    Args:
      directory: for the tracker's own files; it exists.
      config: the run's settings, plain data.
      run_id: stays the same when a run is resumed.
    """
    if settings.kind == "none" or settings.mode == "disabled":
        return NullTracker()
    return WandbTracker(settings, directory, config, run_id)
