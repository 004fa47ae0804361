"""What `bark-jax generate` and `bark-jax sweep` share, between Hydra and `bark_jax.sweeps`.

A module of its own instead of part of a script, so that worker processes can import it.
"""

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from bark_jax.pipeline import Bark
from bark_jax.programs.compose import from_hydra
from bark_jax.stages.own import named_stages
from bark_jax.sweeps.batches import Made, generate_batched, generate_one
from bark_jax.sweeps.plan import find_models, plan, settled
from bark_jax.sweeps.progress import watching
from bark_jax.sweeps.record import record, record_failure
from bark_jax.sweeps.settings import ModelSettings, PointSettings, SweepTrackingSettings
from bark_jax.sweeps.summary import finish


@functools.lru_cache(maxsize=1)  # jobs that share a process share a model and its programs
def load_model(settings: ModelSettings) -> Bark:
    bark = Bark.from_pretrained(
        settings.source,
        dtype=settings.dtype,
        weights=settings.weights,
        revision=settings.revision,
        local_files_only=settings.local_files_only,
        offload=settings.offload,
    )
    return bark.with_stages(**named_stages(settings.stages)) if settings.stages else bark


def run_point(composed: DictConfig) -> dict[str, Any]:
    """One job: generates, measures and writes the job's folder; returns the metrics."""
    point = from_hydra(PointSettings, composed)
    try:
        (point,) = settled([point], find_models([point]))
        made: Made = generate_one(load_model, point)
    except Exception as error:
        made = error
    return write_point(point, made)


def write_point(point: PointSettings, made: Made) -> dict[str, Any]:
    """Writes the folder of the current job.

    Raises:
      Exception: what went wrong with the point, after it was recorded.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        if isinstance(made, Exception):
            raise made
        return record(*made, point, folder)
    except Exception as error:
        record_failure(point, error, folder)
        raise


class Points:
    """What the plugins in hydra_plugins/bark_jax_sweeps need from a task function."""

    tracking: SweepTrackingSettings | None = None  # of the sweep that is planned

    def plan(self, configs: Sequence[DictConfig], sweep_dir: Path) -> list[str | None]:
        points = [from_hydra(PointSettings, config) for config in configs]
        names = plan(points, sweep_dir)
        self.tracking = points[0].tracking
        return names

    def watching(self, folders: Sequence[Path]) -> AbstractContextManager[None]:
        return watching(folders)

    def batched(
        self, configs: Sequence[DictConfig], batch_rows: int | None
    ) -> Iterator[tuple[int, Callable[[DictConfig], Any]]]:
        read = [from_hydra(PointSettings, config) for config in configs]
        points = settled(read, find_models(read))
        for index, made in generate_batched(load_model, points, batch_rows):
            yield index, lambda _, index=index, made=made: write_point(points[index], made)

    def finish(self, sweep_dir: Path, folders: Sequence[str]) -> str | None:
        outcome = finish(sweep_dir, folders, self.tracking)
        print(outcome.summary, file=sys.stderr)
        return outcome.problem
