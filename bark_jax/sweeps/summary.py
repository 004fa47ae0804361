"""What is left to do when the points of a sweep have ended: rows, tracker, closing message."""

import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import soundfile

from bark_jax.evaluation.spectrogram import save_spectrogram
from bark_jax.sweeps.point_files import AUDIO_FILE
from bark_jax.sweeps.results import RESULTS_FILE, Row, gather, sweep_id, write_results
from bark_jax.sweeps.settings import SweepTrackingSettings
from bark_jax.tracking import Picture, Sound, make_tracker

SHOWN_ERRORS = 3


@dataclasses.dataclass(frozen=True)
class Outcome:
    summary: str
    problem: str | None  # None if every point of this run has its results


def finish(
    sweep_dir: Path, folders: Sequence[str], tracking: SweepTrackingSettings | None = None
) -> Outcome:
    """Writes `results.jsonl` and reports to the tracker.

    Args:
      folders: those of the points that this run was to make.
    """
    rows = gather(sweep_dir)
    if rows:
        write_results(sweep_dir, rows)
    if rows and tracking is not None and tracking.kind != "none" and tracking.runs == "sweep":
        track_sweep(sweep_dir, rows, tracking)
    ended = {row["folder"]: row for row in rows}
    made = [row for name in folders if (row := ended.get(name)) and row["status"] == "done"]
    failed = [row for name in folders if (row := ended.get(name)) and row["status"] == "failed"]
    n_missing = len(folders) - len(made) - len(failed)
    audio_s = sum(row["duration_s"] for row in made)
    summary = (
        f"{len(made)} points made ({audio_s:.1f} s of audio), {len(failed)} failed, "
        f"{len(rows) - len(made) - len(failed)} there already: {sweep_dir / RESULTS_FILE}"
    )
    problems = [f"{row['folder']}: {row['error']}" for row in failed[:SHOWN_ERRORS]]
    if len(failed) > SHOWN_ERRORS:
        problems.append(f"and {len(failed) - SHOWN_ERRORS} more")
    if n_missing:
        problems.append(f"{n_missing} did not run to their end")
    if not problems:
        return Outcome(summary, None)
    n_bad = len(failed) + n_missing
    return Outcome(summary, f"{n_bad} of {len(folders)} points failed; " + "; ".join(problems))


def track_sweep(sweep_dir: Path, rows: Sequence[Row], tracking: SweepTrackingSettings) -> None:
    """One run for the whole sweep, with a table of audio, spectrogram, settings and metrics."""
    run_id = sweep_id(sweep_dir)
    tracker = make_tracker(tracking, sweep_dir, {"points": len(rows)}, run_id)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with tempfile.TemporaryDirectory() as pictures:
        cells = [
            [*_sound_and_picture(sweep_dir, row, Path(pictures)), *(row.get(c) for c in columns)]
            for row in rows
        ]
        tracker.log(dict(_means(rows)), step=0)
        tracker.table("points", ["audio", "spectrogram", *columns], cells)
        tracker.finish()


def _sound_and_picture(sweep_dir: Path, row: Row, pictures: Path) -> tuple[Any, Any]:
    path = sweep_dir / row["folder"] / AUDIO_FILE
    if row["status"] != "done":
        return None, None
    picture = pictures / f"{row['folder']}.png"
    save_spectrogram(picture, *soundfile.read(path, dtype="float32"))
    sound = Sound(path, row["prompts.text"]) if row["duration_s"] else None
    return sound, Picture(picture)


def _means(rows: Sequence[Row]) -> Iterator[tuple[str, float]]:
    """The mean of every number that points have, settings left out."""
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row[name] for row in rows if isinstance(row.get(name), int | float)]
        if values and "." not in name and name != "seed":
            yield f"mean/{name}", sum(values) / len(values)
