"""Files of lines: plain text, and JSON Lines. A line ends at `\\n` (or `\\r\\n`) and nowhere else.

`str.splitlines` also cuts at U+2028, U+0085, vertical tabs and more, all of which may stand inside
a text, and JSON writes the first of them as they are.
"""

import codecs
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
BLOCK_BYTES = 1 << 16


def decode(content: bytes, name: str) -> str:
    """Text in UTF-8, with or without a byte order mark.

    Args:
      name: of the file, for errors.
    Raises:
      ValueError: the content is in another encoding; says in which line, and what to do.
    """
    if content.startswith(UTF16):
        raise ValueError(f"{name} is in UTF-16: save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{name}, line {line}: byte {content[error.start]:#04x} is not UTF-8; save the file as "
            "UTF-8"
        ) from None


def lines_of(text: str) -> list[str]:
    """The lines of a text, without their ends; the last one need not have one."""
    lines = text.split("\n")
    return [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]


def read_lines(path: Path) -> list[str]:
    """The lines of a file; raises ValueError as `decode` does."""
    return lines_of(decode(path.read_bytes(), str(path)))


def parse_object(line: str | bytes) -> dict[str, Any]:
    """The JSON object in a line.

    Raises:
      ValueError: it is not JSON, not an object, or nested too deeply to read.
    """
    try:
        found = json.loads(line)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"it is not a JSON object but {type(found).__name__}")
    return found


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a file that programs append to, in order; [] if there is no such file.

    Lines that are not whole JSON objects are left out: a run that was killed tears its last one.
    """
    rows: list[dict[str, Any]] = []
    if path.is_file():
        with path.open("rb") as file:  # whose lines end at \n only
            for line in file:
                with contextlib.suppress(ValueError):
                    rows.append(parse_object(line))
    return rows


@contextlib.contextmanager
def appending_rows(path: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Yields a function that appends an object as a line of JSON, and flushes it.

    What a killed run left of its last line goes first; a whole row that lacks its end gets it.
    """
    with path.open("a+b") as file:
        _mend_end(file)

        def write(row: Mapping[str, Any]) -> None:
            file.write(_line(row))
            file.flush()

        yield write


def _line(row: Mapping[str, Any]) -> bytes:
    """As it is readable, or escaped where it holds half a surrogate pair, which UTF-8 cannot."""
    try:
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(row).encode() + b"\n"


def _mend_end(file: BinaryIO) -> None:
    """Makes the file end with a line's end."""
    size = end = file.seek(0, 2)
    tail = b""
    while end and b"\n" not in tail:
        begin = max(0, end - BLOCK_BYTES)
        file.seek(begin)
        tail, end = file.read(end - begin) + tail, begin
    last = tail[tail.rfind(b"\n") + 1 :]
    if not last:
        return
    try:
        parse_object(last)
    except ValueError:
        file.truncate(size - len(last))
    else:
        file.write(b"\n")  # in append mode at the end, wherever reading has stopped
        file.flush()
