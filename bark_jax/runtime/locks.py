"""One process at a time on what several would spoil."""

import contextlib
import datetime
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import filelock

LOCK_FILES = (".lock", ".holder")  # inside a directory that is held


class InUseError(OSError):
    """Another process is at work there; the message says which."""


@contextlib.contextmanager
def held_alone(path: Path, what: Path | None = None) -> Iterator[None]:
    """Holds a directory or file for this process, by a lock that the system drops with it.

    The lock lies inside a directory, and beside a file, which need not be there; afterwards it is
    gone.

    Args:
      what: named in the error in place of `path`.
    Raises:
      InUseError: another process holds it.
    """
    folder, name = (path, "") if path.is_dir() else (path.parent, f".{path.name}")
    # two, because who tries a lock empties its file
    file, holder = (folder / f"{name}{suffix}" for suffix in LOCK_FILES)
    lock = filelock.FileLock(file, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise InUseError(
            f"{what or path} is in use by {_read(holder)}: wait for it, or stop it"
        ) from None
    try:
        now = datetime.datetime.now().isoformat(sep=" ", timespec="seconds")
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}, since {now}")
        yield
    finally:
        holder.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            file.unlink()  # while it is held: who waits for it notices, and makes a new one
        lock.release()


def _read(holder: Path) -> str:
    with contextlib.suppress(OSError):
        if found := holder.read_text().strip():
            return found
    return "another process"
