"""Directories that appear only when they are whole, also in place of others."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from bark_jax.runtime.locks import held_alone


def place_beside(out: Path) -> Path:
    """Where `replacing_directory` lets `out` be made."""
    return _workplace(out) / "made"


@contextlib.contextmanager
def replacing_directory(out: Path) -> Iterator[Path]:
    """Yields an empty directory beside `out`, which takes its place if the block succeeds.

    An error or an interrupt at any moment leaves `out` as it was and nothing beside it. A kill
    leaves `.NAME.partial`, which the next call clears: if the kill came between the two renames,
    the directory that was to be replaced is in there, and comes back first.

    Raises:
      InUseError: another process is making `out`.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    workplace, made = _workplace(out), place_beside(out)
    workplace.mkdir(exist_ok=True)
    with held_alone(workplace, out):
        _restore(out)
        for left in (made, _replaced(out)):
            shutil.rmtree(left, ignore_errors=True)
        try:
            made.mkdir()
            yield made
            if os.path.lexists(out):
                os.replace(out, _replaced(out))
            os.replace(made, out)
        finally:
            _restore(out)  # if this fails, nothing is removed
            shutil.rmtree(workplace, ignore_errors=True)


def _restore(out: Path) -> None:
    """Brings back what was to be replaced, if nothing has taken its place."""
    if os.path.lexists(_replaced(out)) and not os.path.lexists(out):
        os.replace(_replaced(out), out)


def _workplace(out: Path) -> Path:
    return out.with_name(f".{out.name}.partial")


def _replaced(out: Path) -> Path:
    return _workplace(out) / "replaced"
