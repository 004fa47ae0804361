"""Files that are written whole or not at all."""

import contextlib
import errno
import json
import os
import stat
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bark_jax.runtime.lines import decode, parse_object

MOST_JSON_BYTES = 32 << 20  # the largest that models bring, a vocabulary, has 9
MOST_NAME_BYTES = 255  # of a file's name, on the usual file systems
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # errors without a file's name
NAME_BYTES = 200  # of a file's name that its temporary name begins with


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` to write to, which is renamed to `path` if the block succeeds.

    An error leaves `path` as it was and nothing beside it; a kill leaves `.NAME.….partial` there,
    with as much of the name as a file system's 255 bytes hold. No two processes get the same name.
    """
    name = os.fsencode(path.name)[:NAME_BYTES].decode(errors="ignore")
    partial = path.with_name(f".{name}.{uuid.uuid4().hex}.partial")
    try:
        with errors_naming(path, partial):
            yield partial
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def errors_naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """In the block a full disk, and any error of the file `temporary`, is one that names `path`.

    Raises:
      OSError: "cannot write PATH: reason".
    """
    try:
        yield
    except OSError as error:
        is_unnamed = error.filename is None and error.errno in FULL
        if not is_unnamed and (temporary is None or error.filename != str(temporary)):
            raise
        raise OSError(f"cannot write {path}: {error.strerror}") from error


def check_room(path: Path, n_bytes: int) -> None:
    """Appends zeros to a file that a library could not write, to learn why: raises OSError."""
    with path.open("ab", buffering=0) as file:
        for _ in range(2):  # the first may be written in part
            file.write(bytes(n_bytes))


def make_folder(path: Path) -> None:
    """Makes a folder and those that it lies in, where they are not there yet.

    Raises:
      OSError: that is not possible; names the folder.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"cannot make the folder {path}: {error.strerror}") from error


def check_writable(path: Path) -> None:
    """Finds out now, by a file beside it, whether `path` can be written later.

    Raises:
      OSError: it is a directory, its name is too long, or its folder takes no files.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(path.stat().st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}") from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
      OSError: it cannot be read.
      ValueError: it is larger than `MOST_JSON_BYTES`, or holds no JSON object in UTF-8.
    """
    with path.open("rb") as file:
        content = file.read(MOST_JSON_BYTES + 1)
    if len(content) > MOST_JSON_BYTES:
        raise ValueError(f"{path} has over {MOST_JSON_BYTES >> 20} MiB, which is not read as JSON")
    text = decode(content, str(path))
    try:
        return parse_object(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def write_json(path: Path, content: Any) -> None:
    """Writes JSON atomically. NaN and infinity raise ValueError: JSON has no such numbers."""
    with replacing(path) as partial:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8")
