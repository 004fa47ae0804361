"""Which columns of a sweep's rows were swept, which are metrics, and which never change."""

import dataclasses
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
NAMES = ("folder", "key", "status")


@dataclasses.dataclass(frozen=True)
class Columns:
    """Names of columns, in the order of the rows."""

    swept: list[str]  # settings of which points differ
    constant: dict[str, Any]  # settings of all points
    metrics: list[str]  # numbers
    words: list[str]  # results that are not numbers, such as transcripts


def columns_of(rows: Sequence[Row]) -> Columns:
    """Sorts the columns of `rows`."""
    names = [n for n in dict.fromkeys(name for row in rows for name in row) if n not in NAMES]
    settings = [name for name in names if name == "seed" or "." in name]
    values = {name: [row.get(name) for row in rows] for name in names}
    swept = [name for name in settings if any(v != values[name][0] for v in values[name])]
    results = [name for name in names if name not in settings]
    metrics = [name for name in results if all(v is None or _is_number(v) for v in values[name])]
    return Columns(
        swept,
        {name: values[name][0] for name in settings if name not in swept},
        [name for name in metrics if any(v is not None for v in values[name])],
        [name for name in results if name not in metrics],
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
