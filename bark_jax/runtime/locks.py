"""One process at a time on what several would spoil."""

import contextlib
import datetime
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import filelock


class InUseError(RuntimeError):
    """Another process is at work there; the message says which."""


@contextlib.contextmanager
def held_alone(path: Path) -> Iterator[None]:
    """Holds `path` for this process, by a lock beside it that the system drops with the process.

    Raises:
      InUseError: another process holds it.
    """
    holder = path.with_name(f".{path.name}.holder")  # apart: who tries a lock empties its file
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise InUseError(f"{path} is in use by {_read(holder)}: wait for it, or stop it") from None
    try:
        now = datetime.datetime.now().isoformat(sep=" ", timespec="seconds")
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}, since {now}")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _read(holder: Path) -> str:
    with contextlib.suppress(OSError):
        if found := holder.read_text().strip():
            return found
    return "another process"
