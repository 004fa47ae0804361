"""Progress bars on stderr."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


@contextlib.contextmanager
def stage_bar(name: str, total: int, wanted: bool) -> Iterator[Callable[[int], None] | None]:
    """Yields a function to call with the work done so far, or None where nobody watches.

    With None a stage runs in one call; with a bar it comes back every few steps.
    """
    if not (wanted and sys.stderr.isatty()):
        yield None
        return
    with tqdm(total=total, desc=f"{name:>8}", leave=True) as bar:

        def report(done: int) -> None:
            bar.update(done - bar.n)

        yield report
        bar.total = bar.n  # an early end is an end
        bar.refresh()


def counted(items: Iterable[Item], total: int, wanted: bool) -> Iterator[Item]:
    """The items, with a bar that counts those that have been dealt with."""
    is_watched = wanted and sys.stderr.isatty()
    yield from tqdm(items, total=total, unit="row", disable=not is_watched)
