"""`metrics.jsonl`: one line per logged step, and means over the steps between lines."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bark_jax.runtime.files import replacing
from bark_jax.runtime.lines import read_rows


class Means:
    """Running means of the values of single steps; plain data, so that a checkpoint can hold it."""

    def __init__(self, totals: Mapping[str, list[float]] | None = None) -> None:
        self.totals = {name: list(pair) for name, pair in (totals or {}).items()}

    def add(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            total = self.totals.setdefault(name, [0.0, 0])
            total[0] += value
            total[1] += 1

    def take(self) -> dict[str, float]:
        """The means since the last call."""
        means = {name: total / n for name, (total, n) in self.totals.items()}
        self.totals = {}
        return means


class Journal:
    """Appends rows; a resumed run first drops those of the steps that it will repeat."""

    def __init__(self, path: Path, from_step: int) -> None:
        self.path = path
        kept = [row for row in read_rows(path) if row["step"] <= from_step]
        with replacing(path) as partial:
            partial.write_text("".join(map(_line, kept)), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")

    def write(self, row: Mapping[str, Any]) -> None:
        self._file.write(_line(row))
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _line(row: Mapping[str, Any]) -> str:
    """One line of JSON, which cannot express values that are not finite."""
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }
    return json.dumps(finite) + "\n"
