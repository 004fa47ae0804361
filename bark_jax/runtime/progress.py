"""Progress on stderr: bars on a terminal, and elsewhere a line every few seconds."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

LINE_EVERY_S = 10.0
COLUMNS, ROWS = 80, 24  # of a terminal that does not know its size

Item = TypeVar("Item")


class Lines:
    """As much of tqdm's interface as is used here; writes lines, none in the first seconds."""

    def __init__(self, total: float, unit: str, desc: str = "", initial: int = 0) -> None:
        self.total, self.unit, self.desc = total, unit, desc
        self.n: float = initial
        self._first = initial
        self._begin = self._said = time.monotonic()
        self._more = ""

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, n: float = 1) -> None:
        self.n += n
        self.refresh()

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        self._more = f", {text}" if text else ""

    def refresh(self) -> None:
        """Writes a line if one is due."""
        now = time.monotonic()
        if now - self._said < LINE_EVERY_S:
            return
        self._said = now
        name = f"{self.desc}: " if self.desc else ""
        gone_s, done = now - self._begin, self.n - self._first
        left = (
            f", {tqdm.format_interval(gone_s / done * (self.total - self.n))} left" if done else ""
        )
        print(
            f"{name}{self.n:.0f} of {self.total:.0f} {self.unit}s "
            f"in {tqdm.format_interval(gone_s)}{left}{self._more}",
            file=sys.stderr,
            flush=True,
        )


def work_bar(
    total: float,
    unit: str,
    *,
    desc: str = "",
    initial: int = 0,
    wanted: bool = True,
    bar_format: str | None = None,
) -> Any:
    """A bar of long work, as tqdm's; off a terminal `Lines`.

    Args:
      unit: what is counted, in the singular.
      initial: how much an earlier run has done.
      bar_format: tqdm's, of the bar on a terminal.
    """
    if wanted and not sys.stderr.isatty():
        return Lines(total, unit, desc, initial)
    options = {"desc": desc or None, "initial": initial, "bar_format": bar_format}
    return tqdm_bar(total=total, unit=unit, disable=not wanted, **options)


@contextlib.contextmanager
def stage_bar(name: str, total: int, wanted: bool) -> Iterator[Callable[[int], None] | None]:
    """Yields a function to call with the work done so far, or None if no bar is shown.

    With None a stage runs in one call; with a bar it returns to the host every few steps.
    """
    if not (wanted and sys.stderr.isatty()):
        yield None
        return
    with tqdm_bar(total=total, desc=f"{name:>8}", leave=True) as bar:

        def report(done: int) -> None:
            bar.update(done - bar.n)

        yield report
        bar.total = bar.n  # a stage that ended early is complete
        bar.refresh()


def counted(items: Iterable[Item], total: int, wanted: bool) -> Iterator[Item]:
    """Yields the items, with a bar that counts them if it is wanted and stderr is a terminal."""
    is_watched = wanted and sys.stderr.isatty()
    yield from tqdm_bar(items, total=total, unit="row", disable=not is_watched)


@contextlib.contextmanager
def seconds_bar(total_s: float, wanted: bool) -> Iterator[Callable[[float, float], None]]:
    """Yields a function to call with the seconds of audio done and, as far as known, in all.

    Its bar, or off a terminal a line now and then, shows the time left, if it is wanted.
    """
    shown = "{l_bar}{bar}| {n:.0f} of {total:.0f} s of audio [{elapsed}, {remaining} left]"
    with work_bar(total_s, "second", wanted=wanted, bar_format=shown) as bar:

        def report(done_s: float, total_s: float) -> None:
            bar.total = total_s
            bar.update(done_s - bar.n)

        yield report


def tqdm_bar(*args: Any, **options: Any) -> tqdm:
    """tqdm's bar, also on a terminal that says that it has no columns (0 x 0, as in containers)."""
    try:
        has_size = 0 not in os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):  # no terminal, where tqdm asks for no size
        has_size = True
    size = {"dynamic_ncols": True} if has_size else {"ncols": COLUMNS, "nrows": ROWS}
    return tqdm(*args, **size, **options)
