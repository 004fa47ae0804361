"""Progress bars on stderr."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from tqdm import tqdm


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
