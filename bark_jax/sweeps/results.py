"""The folder of a sweep: one folder per point, and what sums them up.

KEY/             one per point, named by the key of its settings; see point_files.py
sweep.json       format, version, an id, and the keys in the order in which they were asked for
results.jsonl    one row per point: settings, metrics, or the error
"""

import json
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bark_jax import __version__
from bark_jax.runtime.files import read_json, replacing, write_json
from bark_jax.sweeps.point_files import AUDIO_FILE, ERROR_FILE, METRICS_FILE

FORMAT = 1
SWEEP_FILE, RESULTS_FILE = "sweep.json", "results.jsonl"
Row = dict[str, Any]


def open_sweep(sweep_dir: Path, keys: Sequence[str]) -> None:
    """Notes the points of a sweep, after those that the folder already lists.

    Raises:
      ValueError: the folder holds results of another version, which may not be mixed.
    """
    known = _read(sweep_dir / SWEEP_FILE)
    if known is not None:
        found, wanted = (known.get("format"), known.get("bark_jax")), (FORMAT, __version__)
        if found != wanted:
            raise ValueError(
                f"{sweep_dir} holds results of bark_jax {found[1]} (format {found[0]}); this is "
                f"{wanted[1]} (format {wanted[0]}): choose another hydra.sweep.dir"
            )
    order = list(dict.fromkeys([*(known or {}).get("keys", []), *keys]))
    sweep_dir.mkdir(parents=True, exist_ok=True)
    content = {
        "format": FORMAT,
        "bark_jax": __version__,
        "id": (known or {}).get("id") or uuid.uuid4().hex[:16],
        "keys": order,
    }
    write_json(sweep_dir / SWEEP_FILE, content)


def sweep_id(sweep_dir: Path) -> str:
    """The permanent name of a sweep, however often it is resumed or moved."""
    return (_read(sweep_dir / SWEEP_FILE) or {})["id"]


def is_finished(sweep_dir: Path, key: str) -> bool:
    """Whether a point is complete: its metrics are there, and so is its audio."""
    content = _read(sweep_dir / key / METRICS_FILE)
    return bool(content and content.get("key") == key and (sweep_dir / key / AUDIO_FILE).exists())


def gather(sweep_dir: Path) -> list[Row]:
    """One row per point that has ended, in the order of the sweep."""
    order = (_read(sweep_dir / SWEEP_FILE) or {}).get("keys", [])
    names = {path.parent.name for path in sweep_dir.glob(f"*/{METRICS_FILE}")}
    names |= {path.parent.name for path in sweep_dir.glob(f"*/{ERROR_FILE}")}
    place = {name: index for index, name in enumerate(order)}
    ordered = sorted(names, key=lambda name: (place.get(name, len(place)), name))
    return [row for name in ordered if (row := read_row(sweep_dir / name))]


def read_row(folder: Path) -> Row | None:
    """A point's row, None if it has not ended."""
    if (done := _read(folder / METRICS_FILE)) is not None:
        return {
            "folder": folder.name,
            "key": done["key"],
            "status": "done",
            **done["settings"],
            **done["metrics"],
        }
    if (failed := _read(folder / ERROR_FILE)) is not None:
        named = {"folder": folder.name, "key": failed["key"], "status": "failed"}
        return {**named, **failed["settings"], "error": failed["error"]}
    return None


def write_results(sweep_dir: Path, rows: Iterable[Row]) -> Path:
    """Writes `results.jsonl` completely or not at all."""
    path = sweep_dir / RESULTS_FILE
    lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows]
    with replacing(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _read(path: Path) -> dict[str, Any] | None:
    """A JSON object; None if there is no such file, or no such object in it."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None
