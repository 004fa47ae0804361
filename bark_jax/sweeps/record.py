"""Writes the folder of one point; point_files.py says what it holds."""

import traceback
from pathlib import Path
from typing import Any

import numpy as np

from bark_jax.generation import Generation
from bark_jax.pipeline import Bark
from bark_jax.runtime.files import replacing, write_json
from bark_jax.sweeps.measure import measure
from bark_jax.sweeps.point_files import (
    AUDIO_FILE,
    ENTROPY_FILE,
    ERROR_FILE,
    METRICS_FILE,
    RESULT_FILES,
    TOKENS_FILE,
)
from bark_jax.sweeps.provenance import provenance
from bark_jax.sweeps.settings import PointSettings
from bark_jax.tracking import make_tracker


def record(bark: Bark, made: Generation, point: PointSettings, folder: Path) -> dict[str, Any]:
    """Measures a generation and writes its folder; returns the metrics."""
    clear(folder)
    metrics, steps = measure(bark, point, made)
    made.save(folder / AUDIO_FILE)
    made.save_voice(folder / TOKENS_FILE)
    if steps:
        _write_arrays(folder / ENTROPY_FILE, steps)
    content = {
        "key": point.key(),
        "settings": point.flat(),
        "metrics": metrics,
        "timings_s": made.timings,
        "provenance": provenance(),
    }
    write_json(folder / METRICS_FILE, content)
    if point.tracking.runs == "point":
        track_point(point, made, metrics, folder)
    return metrics


def track_point(
    point: PointSettings, made: Generation, metrics: dict[str, Any], folder: Path
) -> None:
    """Reports one point to the tracker, as a run of its own."""
    tracker = make_tracker(point.tracking, folder, point.flat(), point.key())
    tracker.log({k: v for k, v in metrics.items() if isinstance(v, int | float)}, step=0)
    if made.audio.size:
        tracker.audio("audio", made.audio, made.sample_rate, made.text, step=0)
    tracker.finish()


def record_failure(point: PointSettings, error: Exception, folder: Path) -> None:
    """Writes what went wrong with a point."""
    clear(folder)
    content = {
        "key": point.key(),
        "settings": point.flat(),
        "error": f"{type(error).__name__}: {error}",
        "traceback": "".join(traceback.format_exception(error)),
    }
    write_json(folder / ERROR_FILE, content)


def clear(folder: Path) -> None:
    """Removes the results of an earlier run, starting with the file that marks them complete."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in RESULT_FILES:
        (folder / name).unlink(missing_ok=True)


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
