"""Progress bars on stderr."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


@contextlib.contextmanager
def stage_bar(name: str, total: int, wanted: bool) -> Iterator[Callable[[int], None] | None]:
    """Yields a function to call with the work done so far, or None if no bar is shown.

    With None a stage runs in one call; with a bar it returns to the host every few steps.
    """
    if not (wanted and sys.stderr.isatty()):
        yield None
        return
    with tqdm(total=total, desc=f"{name:>8}", leave=True) as bar:

        def report(done: int) -> None:
            bar.update(done - bar.n)

        yield report
        bar.total = bar.n  # a stage that ended early is complete
        bar.refresh()


def counted(items: Iterable[Item], total: int, wanted: bool) -> Iterator[Item]:
    """Yields the items, with a bar that counts them if it is wanted and stderr is a terminal."""
    is_watched = wanted and sys.stderr.isatty()
    yield from tqdm(items, total=total, unit="row", disable=not is_watched)


@contextlib.contextmanager
def seconds_bar(total_s: float, wanted: bool) -> Iterator[Callable[[float, float], None]]:
    """Yields a function to call with the seconds of audio done and, as far as known, in all.

    Its bar shows the time left, if it is wanted and stderr is a terminal.
    """
    is_watched = wanted and sys.stderr.isatty()
    shown = "{l_bar}{bar}| {n:.0f} of {total:.0f} s of audio [{elapsed}, {remaining} left]"
    with tqdm(total=total_s, disable=not is_watched, bar_format=shown) as bar:

        def report(done_s: float, total_s: float) -> None:
            bar.total = total_s
            bar.update(done_s - bar.n)

        yield report
