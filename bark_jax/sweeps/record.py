"""The folder of one point: what is written there, in which order, and how it is read back.

audio.wav       32-bit float, settings inside
tokens.npz      semantic, coarse and fine tokens; a voice for later generations
entropy.npz     bits per step, if asked for
metrics.json    settings, metrics, versions; written last: a folder that has it is complete
error.json      in its place for a point that failed
"""

import json
import os
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from bark_jax.generation import Generation
from bark_jax.pipeline import Bark
from bark_jax.sweeps.measure import measure
from bark_jax.sweeps.provenance import provenance
from bark_jax.sweeps.settings import PointSettings
from bark_jax.tracking import make_tracker

METRICS_FILE, ERROR_FILE = "metrics.json", "error.json"
RESULT_FILES = (METRICS_FILE, ERROR_FILE, "audio.wav", "tokens.npz", "entropy.npz")


def record(bark: Bark, made: Generation, point: PointSettings, folder: Path) -> dict[str, Any]:
    """Measures a generation and writes its folder; returns the metrics."""
    clear(folder)
    metrics, steps = measure(bark, point, made)
    made.save(folder / "audio.wav")
    made.save_voice(folder / "tokens.npz")
    if steps:
        _write_arrays(folder / "entropy.npz", steps)
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
    """A run of the tracker for one point."""
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
    """Removes the results of an earlier run, first of all what says that it is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in RESULT_FILES:
        (folder / name).unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Writes all of it or nothing. NaN and infinity are refused: JSON has no such numbers."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
