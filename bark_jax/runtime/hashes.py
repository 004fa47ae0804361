"""Hashes of the files of a directory, kept in it, so that damage is seen.

`SHA256SUMS` has the format of the program sha256sum: `cd DIR && sha256sum -c SHA256SUMS`.
"""

import hashlib
import re
from pathlib import Path, PurePosixPath

from bark_jax.runtime.files import replacing
from bark_jax.runtime.lines import read_lines

HASHES_FILE = "SHA256SUMS"
LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def write_hashes(directory: Path) -> None:
    """Hashes all files below `directory`."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    lines = [
        f"{sha256_of(path)}  {path.relative_to(directory).as_posix()}\n"
        for path in files
        if path.name != HASHES_FILE
    ]
    with replacing(directory / HASHES_FILE) as partial:
        partial.write_text("".join(lines), encoding="utf-8")


def has_hashes(directory: Path) -> bool:
    """Whether damage in `directory` can be seen."""
    return (directory / HASHES_FILE).is_file()


def find_damage(directory: Path) -> list[str]:
    """The files that are missing or not as they were hashed; none where there are no hashes.

    Raises:
      ValueError: the hashes themselves are damaged.
    """
    if not has_hashes(directory):
        return []
    damaged = []
    for line in read_lines(directory / HASHES_FILE):
        match = LINE.fullmatch(line)
        if not match or PurePosixPath(match[2]).is_absolute() or ".." in match[2].split("/"):
            raise ValueError(f"{directory / HASHES_FILE} is damaged: {line[:80]!r} is no hash")
        path = directory / match[2]
        if not path.is_file() or sha256_of(path) != match[1]:
            damaged.append(match[2])
    return damaged


def sha256_of(path: Path) -> str:
    """SHA-256 of a file; other threads go on meanwhile."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
