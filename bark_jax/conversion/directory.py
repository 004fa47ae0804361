"""A directory that appears only when it is complete."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import filelock

NO_SPACE = os.strerror(errno.ENOSPC)
MARGIN_BYTES = 1 << 20  # for what a file holds besides arrays


@contextlib.contextmanager
def complete_directory(out: Path, *, overwrite: bool, marker: str) -> Iterator[Path]:
    """Yields an empty directory next to `out`, which is renamed to `out` at the end.

    An error leaves nothing behind, a kill only `.NAME.partial`, which the next run clears.

    Args:
      overwrite: `out` may exist if it is empty or holds a file called `marker`; anything else was
        not written by this package and is not deleted.
    Raises:
      FileExistsError: `out` exists and may not be overwritten, or another run is writing it.
      OSError: the disk is full, with a message that says so.
    """
    out = out.resolve()
    _check_replaceable(out, overwrite, marker)
    out.parent.mkdir(parents=True, exist_ok=True)
    workplace = out.with_name(f".{out.name}.partial")
    workplace.mkdir(exist_ok=True)
    lock = filelock.FileLock(workplace / "lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise FileExistsError(f"another process is writing {out}") from None
    try:
        for left in workplace.iterdir():  # left by a killed run
            if left.is_dir():
                shutil.rmtree(left)
        made = workplace / "made"
        made.mkdir()
        yield made
        _put_in_place(made, out, workplace / "replaced")
    except Exception as error:
        # libraries wrap a full disk in errors of several kinds
        if (isinstance(error, OSError) and error.errno == errno.ENOSPC) or NO_SPACE in str(error):
            reason = error.strerror if isinstance(error, OSError) else NO_SPACE
            raise OSError(errno.ENOSPC, f"{reason}; nothing is left of the unfinished {out}") from (
                error
            )
        raise
    finally:
        lock.release()
        shutil.rmtree(workplace, ignore_errors=True)


def require_space(folder: Path, n_bytes: int) -> None:
    """Raises a clear error before a library fails to write `n_bytes` into `folder`.

    Raises:
      OSError: ENOSPC, the disk is too full.
    """
    free = shutil.disk_usage(folder).free
    if free < n_bytes + MARGIN_BYTES:
        raise OSError(
            errno.ENOSPC,
            f"the disk of {folder} is full: {n_bytes / 1e6:,.0f} MB more are needed, "
            f"{free / 1e6:,.0f} MB are free",
        )


def _check_replaceable(out: Path, overwrite: bool, marker: str) -> None:
    if not out.exists():
        return
    if not overwrite:
        raise FileExistsError(f"{out} exists already; --overwrite replaces it")
    if not out.is_dir() or (any(out.iterdir()) and not (out / marker).is_file()):
        raise FileExistsError(f"{out} is not replaced: it holds no {marker}, so it is not a model")


def _put_in_place(made: Path, out: Path, replaced: Path) -> None:
    if out.exists():
        os.replace(out, replaced)
    os.replace(made, out)
