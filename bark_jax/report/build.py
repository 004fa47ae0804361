"""The report of a sweep: a folder with a page that opens from disk and needs nothing else.

index.html            the page; report.css, table.js, plots.js, page.js
data.js               rows, columns, labels and composed configs
audio/KEY.wav         16-bit
spectrograms/KEY.png
"""

import dataclasses
import datetime
import json
from importlib import resources
from pathlib import Path
from typing import Any

import soundfile

from bark_jax import __version__
from bark_jax.evaluation.spectrogram import save_spectrogram
from bark_jax.report.columns import Columns, columns_of
from bark_jax.report.labels import label_of
from bark_jax.runtime.directories import replacing_directory
from bark_jax.runtime.files import read_json
from bark_jax.runtime.progress import tqdm_bar
from bark_jax.sweeps.point_files import AUDIO_FILE, METRICS_FILE
from bark_jax.sweeps.results import Row, gather, write_results


def build(sweep_dir: Path, out: Path | None = None) -> Path:
    """Writes the report, in place of an earlier one; returns its page.

    Args:
      sweep_dir: the folder of a sweep, under way or ended.
      out: where the report goes; `sweep_dir/report` if not given.
    Raises:
      ValueError: there are no results, or `out` exists and is not a report.
      InUseError: another process is writing it.
    """
    rows = gather(sweep_dir) if sweep_dir.is_dir() else []
    if not rows:
        raise ValueError(f"{sweep_dir} holds no results of a sweep: no */{METRICS_FILE}")
    out = out or sweep_dir / "report"
    with replacing_directory(out) as partial:
        if out.exists() and not (out / "data.js").is_file():
            raise ValueError(f"{out} is there and is not a report: choose another place")
        write_results(sweep_dir, rows)
        for folder in ("audio", "spectrograms"):
            (partial / folder).mkdir()
        for row in tqdm_bar(rows, unit="point", disable=None):
            if row["status"] == "done":
                _copy_sound(sweep_dir / row["folder"] / AUDIO_FILE, row["folder"], partial)
        for asset in resources.files("bark_jax.report").joinpath("assets").iterdir():
            (partial / asset.name).write_bytes(asset.read_bytes())
        content = json.dumps(_data(sweep_dir, rows), ensure_ascii=True, allow_nan=False)
        (partial / "data.js").write_text(f"window.REPORT = {content};\n")
    return out / "index.html"


def _copy_sound(path: Path, name: str, out: Path) -> None:
    audio, rate = soundfile.read(path, dtype="float32")
    save_spectrogram(out / "spectrograms" / f"{name}.png", audio, rate)
    soundfile.write(out / "audio" / f"{name}.wav", audio.clip(-1, 1), rate, subtype="PCM_16")


def _data(sweep_dir: Path, rows: list[Row]) -> dict[str, Any]:
    columns: Columns = columns_of(rows)
    return {
        "title": sweep_dir.resolve().name,
        "made": datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
        "version": __version__,
        "columns": dataclasses.asdict(columns),
        "labels": {name: label_of(name) for name in [*columns.metrics, *columns.words]},
        "rows": rows,
        "configs": {row["folder"]: _config(sweep_dir / row["folder"]) for row in rows},
        "provenance": _provenance(sweep_dir, rows),
    }


def _config(folder: Path) -> str:
    path = folder / ".hydra" / "config.yaml"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _provenance(sweep_dir: Path, rows: list[Row]) -> list[dict[str, Any]]:
    """Versions, commit and device of the points, each combination once."""
    found: list[dict[str, Any]] = []
    for row in rows:
        if row["status"] == "done":
            path = sweep_dir / row["folder"] / METRICS_FILE
            each = read_json(path)["provenance"]
            if each not in found:
                found.append(each)
    return found
