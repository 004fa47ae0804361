"""A directory that appears only when it is complete."""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from bark_jax.runtime.directories import replacing_directory

NO_SPACE = os.strerror(errno.ENOSPC)
MARGIN_BYTES = 1 << 20  # for what a file holds besides arrays


@contextlib.contextmanager
def complete_directory(
    out: Path, *, source: Path, overwrite: bool, is_ours: Callable[[Path], bool]
) -> Iterator[Path]:
    """Yields an empty directory next to `out`, which takes its place at the end.

    See `replacing_directory` for what errors and kills leave.

    Args:
      source: what is read meanwhile: `out` may be neither that nor around it.
      overwrite: `out` may exist if it is empty or `is_ours` says that this command wrote it;
        anything else is not deleted.
    Raises:
      FileExistsError: `out` exists and may not be overwritten.
      InUseError: another run is writing it.
      ValueError: replacing `out` would delete `source`.
      OSError: the disk is full, with a message that says so.
    """
    out, source = out.resolve(), source.resolve()
    if out in (source, *source.parents):
        raise ValueError(f"{out} holds what is read, {source}: choose another place")
    try:
        with replacing_directory(out) as made:
            _check_replaceable(out, overwrite, is_ours)
            yield made
    except Exception as error:
        # libraries wrap a full disk in errors of several kinds
        if (isinstance(error, OSError) and error.errno == errno.ENOSPC) or NO_SPACE in str(error):
            reason = error.strerror if isinstance(error, OSError) else NO_SPACE
            raise OSError(errno.ENOSPC, f"{reason}; nothing is left of the unfinished {out}") from (
                error
            )
        raise


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


def _check_replaceable(out: Path, overwrite: bool, is_ours: Callable[[Path], bool]) -> None:
    if not out.exists():
        return
    if not overwrite:
        raise FileExistsError(f"{out} exists already; --overwrite replaces it")
    if not out.is_dir() or (any(out.iterdir()) and not is_ours(out)):
        raise FileExistsError(f"{out} is not replaced: this command did not write what is there")
