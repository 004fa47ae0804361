"""Everything that can be checked before the first point runs, and which points have to run."""

import importlib.util
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bark_jax.config import BarkConfig
from bark_jax.evaluation.judges import check_judge
from bark_jax.sampling_config import SamplingConfig
from bark_jax.sources.description import Description, describe
from bark_jax.stages.checks import check_processors
from bark_jax.stages.semantic import max_tokens
from bark_jax.sweeps.record import clear
from bark_jax.sweeps.results import is_finished, open_sweep
from bark_jax.sweeps.settings import ModelSettings, PointSettings

BYTES_PER_SAMPLE = 4 + 2  # 32-bit audio, and the 16-bit copy of a report
BYTES_BESIDE = 400_000  # tokens, metrics, configs, spectrogram
NEEDED = {"librosa": "sweep"}  # package -> extra


def plan(points: Sequence[PointSettings], sweep_dir: Path) -> list[str | None]:
    """The folder of every point below `sweep_dir`; None for one that is finished.

    Raises:
      ValueError: no points, points that are equal, results of another version, too little disk,
        an unknown judge.
      ImportError: a package that the metrics need is missing.
      OSError: a model cannot be found or downloaded.
    """
    if not points:
        raise ValueError("the sweep has no points: one of its fields has no values")
    _check_installed(points)
    models = find_models(points)
    points = settled(points, models)
    keys = [point.key() for point in points]
    _check_distinct(points, keys)
    todo = [not is_finished(sweep_dir, key) for key in keys]
    for point in points:
        rows = SamplingConfig.of(point.sampling).per_row(1)
        check_processors(rows, models[point.model].config.tokens)
    needed = sum(
        _bytes_of(point, models[point.model].config)
        for point, is_wanted in zip(points, todo, strict=True)
        if is_wanted
    )
    open_sweep(sweep_dir, keys)
    check_disk(sweep_dir, needed)
    names = [key if is_wanted else None for key, is_wanted in zip(keys, todo, strict=True)]
    for name in filter(None, names):
        if (folder := sweep_dir / name).is_dir():
            clear(folder)  # an error of an earlier run is out of date
    return names


def find_models(points: Iterable[PointSettings]) -> dict[ModelSettings, Description]:
    """The points' models; downloaded and converted once, before several processes need them.

    Raises:
      OSError: one cannot be found or downloaded.
    """
    return {
        model: describe(
            model.source, revision=model.revision, local_files_only=model.local_files_only
        )
        for model in dict.fromkeys(point.model for point in points)
    }


def settled(
    points: Iterable[PointSettings], models: Mapping[ModelSettings, Description]
) -> list[PointSettings]:
    """The points with their models' own sampling in place of what they leave to them.

    Raises:
      ValueError: a model's own values are damaged.
    """
    return [point.settled(models[point.model].sampling) for point in points]


def check_disk(folder: Path, n_bytes: int) -> None:
    """Refuses to start a sweep that would fill the disk.

    Raises:
      ValueError: less than `n_bytes` are free where `folder` lies.
    """
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise ValueError(
            f"the sweep may need {n_bytes / 2**20:.0f} MiB, and {folder} has {free / 2**20:.0f} "
            "MiB free"
        )


def _check_distinct(points: Sequence[PointSettings], keys: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for index, key in enumerate(keys):
        if key in first:
            values = {name: value for name, value in points[index].flat().items() if value}
            raise ValueError(f"points {first[key]} and {index} of the sweep are equal: {values}")
        first[key] = index


def _check_installed(points: Sequence[PointSettings]) -> None:
    for name in {name for point in points for name in point.metrics.judges}:
        check_judge(name)
    needed = dict(NEEDED)
    if any(point.metrics.wer is not None for point in points):
        needed["jiwer"] = "eval"
    if any(point.metrics.wer == "pocketsphinx" for point in points):
        needed["pocketsphinx"] = "eval"
    if any(point.tracking.kind == "wandb" for point in points):
        needed["wandb"] = "sweep"
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        extras = ",".join(sorted({needed[name] for name in missing}))
        raise ImportError(
            f'not installed: {", ".join(missing)}; get it with pip install "bark-jax[{extras}]"'
        )


def _bytes_of(point: PointSettings, config: BarkConfig) -> int:
    """The most that a point may write."""
    limit = point.sampling_values()["semantic"]["max_duration_s"]
    seconds = max_tokens(limit, config.tokens) / config.tokens.semantic_rate_hz
    return int(seconds * config.sample_rate * BYTES_PER_SAMPLE) + BYTES_BESIDE
