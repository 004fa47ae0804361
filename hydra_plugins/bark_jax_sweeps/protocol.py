"""What the plugins need of a task function: an attribute `points` with these methods."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, cast

from hydra.errors import CompactHydraException
from omegaconf import DictConfig, open_dict, read_write


class Points(Protocol):
    """A task function's view of many jobs at once."""

    def plan(self, configs: Sequence[DictConfig], sweep_dir: Path) -> list[str | None]:
        """Checks all jobs; returns each one's folder below `sweep_dir`, None if it is done."""
        ...

    def watching(self, folders: Sequence[Path]) -> AbstractContextManager[None]:
        """Shows progress while the jobs of these folders run."""
        ...

    def batched(
        self, configs: Sequence[DictConfig], batch_rows: int | None
    ) -> Iterator[tuple[int, Callable[[DictConfig], Any]]]:
        """Yields (index, task) as results are ready; `task` runs in place of the task function."""
        ...

    def finish(self, sweep_dir: Path, folders: Sequence[str]) -> str | None:
        """Summarises the results in these folders; returns what went wrong, if anything did."""
        ...


def points_of(task_function: Any, plugin: str) -> Points:
    """The task function's `points`.

    Raises:
      CompactHydraException: it has none.
    """
    found = getattr(task_function, "points", None)
    if found is None:
        raise CompactHydraException(
            f"{plugin} runs `bark-jax sweep` and task functions that have its `points` attribute; "
            f"{getattr(task_function, '__name__', task_function)} has none"
        )
    return cast("Points", found)


def without_hydra(config: DictConfig) -> DictConfig:
    """The part of a composed config that a task function sees."""
    config = config.copy()
    with read_write(config), open_dict(config):
        del config["hydra"]
    return config
