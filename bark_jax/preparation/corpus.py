"""The user's list of recordings: JSON Lines or CSV, one utterance per row."""

import csv
import dataclasses
import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bark_jax.runtime.lines import decode, lines_of, parse_object
from bark_jax.text import normalize_whitespace

FIELDS = ("audio", "text", "id", "speaker", "semantic", "phones")


@dataclasses.dataclass(frozen=True)
class Phone:
    """One stretch of sound."""

    name: str
    begin_s: float
    end_s: float


@dataclasses.dataclass(frozen=True)
class Utterance:
    """One row. Its paths are relative to the folder of the list."""

    id: str
    audio: Path
    text: str
    speaker: str = ""
    semantic: Path | None = None  # .npy with the tokens of the whole recording
    phones: tuple[Phone, ...] = ()  # of the whole recording, gapless from 0 s


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A row that was left out."""

    id: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A list that has been read."""

    utterances: tuple[Utterance, ...]
    skipped: tuple[Skipped, ...]  # rows that could not be understood
    unused_fields: tuple[str, ...]  # columns that are not read
    sha256: str  # of the file


def read_corpus(path: Path) -> Corpus:
    """Reads `.jsonl` (an object a line) or `.csv` (with a header).

    A row has "audio" (a path) and "text"; it may have "id" (else the audio path without its
    suffix), "speaker", "semantic" (path of an .npy) and "phones", see `read_phones`. A row that
    lacks something, or whose id is taken, is skipped with the reason.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: another kind of file, not UTF-8, or no usable row.
    """
    if not path.is_file():
        raise FileNotFoundError(f"manifest={str(path)!r} is not a file")
    content = path.read_bytes()
    text = decode(content, str(path))
    rows = {".jsonl": _json_rows, ".csv": _csv_rows}.get(path.suffix.lower())
    if rows is None:
        raise ValueError(f"manifest={str(path)!r} must end in .jsonl or .csv")
    utterances: dict[str, Utterance] = {}
    skipped: list[Skipped] = []
    unused: set[str] = set()
    for number, row in rows(text):
        try:
            if isinstance(row, str):
                raise ValueError(row)
            unused |= {str(name) for name in row} - set(FIELDS)
            utterance = _utterance(row, path.parent)
            if utterance.id in utterances:
                raise ValueError(f"its id {utterance.id!r} is taken by another row")
        except ValueError as error:
            skipped.append(Skipped(f"line {number}", str(error)))
            continue
        utterances[utterance.id] = utterance
    if not utterances:
        why = f"; the first: {skipped[0].id}: {skipped[0].reason}" if skipped else ""
        raise ValueError(f"{path} has no usable row; {len(skipped)} were skipped{why}")
    return Corpus(
        tuple(utterances.values()),
        tuple(skipped),
        tuple(sorted(unused)),
        hashlib.sha256(content).hexdigest(),
    )


def read_phones(value: str | Sequence[Any]) -> tuple[Phone, ...]:
    """Time-stamped phones from "pau:0.16 hh:0.25 …" or [["pau", 0.16], …]: names with ends [s].

    The first begins at 0 s, every other one where the one before it ends.

    Raises:
      ValueError: an end is not a number or not later than the one before.
    """
    pairs = (
        [pair.rpartition(":")[::2] for pair in value.split()] if isinstance(value, str) else value
    )
    phones: list[Phone] = []
    begin_s = 0.0
    for pair in pairs:
        try:
            name, end_s = str(pair[0]), float(pair[1])
        except (TypeError, ValueError, IndexError, KeyError):
            raise ValueError(f"phones has {pair!r}, want a name and an end in seconds") from None
        if not name or not begin_s < end_s < float("inf"):
            raise ValueError(f"phones has {pair!r} after {begin_s} s: ends must rise")
        phones.append(Phone(name, begin_s, end_s))
        begin_s = end_s
    return tuple(phones)


def _json_rows(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """(line number, object or what is wrong with the line)."""
    for number, line in enumerate(lines_of(text), 1):
        if line.strip():
            try:
                yield number, parse_object(line)
            except ValueError as error:
                yield number, str(error)


def _csv_rows(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """As `_json_rows`; empty cells are left out."""
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", restval="")
    for row in reader:
        surplus = row.pop("", None)
        filled = {name: value for name, value in row.items() if value}
        problem = f"it has more cells than the header: {surplus}"
        yield reader.line_num, problem if surplus else filled


def _utterance(row: dict[str, Any], folder: Path) -> Utterance:
    for name in ("audio", "text"):
        if name not in row:
            raise ValueError(f"it has no {name!r}")
    for name in ("audio", "text", "id", "speaker", "semantic"):
        if name in row and not isinstance(row[name], str):
            raise ValueError(f"its {name!r} is {row[name]!r}, want text")
    if not row["audio"]:
        raise ValueError("its 'audio' is empty")
    audio, semantic = Path(row["audio"]), row.get("semantic")
    return Utterance(
        id=row.get("id") or audio.with_suffix("").as_posix(),
        audio=folder / audio,
        text=normalize_whitespace(row["text"]),
        speaker=row.get("speaker", ""),
        semantic=folder / semantic if semantic else None,
        phones=read_phones(row.get("phones") or ()),
    )
