"""Keeps quiet about reads that Orbax gives up because another one has failed.

Orbax reads all arrays at once. When one cannot be read, it raises, and leaves the others to
themselves: asyncio and Python then report each of them on stderr, in hundreds of lines, some of
them later and in other threads.
"""

import functools
import logging
import sys
from typing import Any

from bark_jax.runtime.notices import first_line

ORBAX = "orbax"  # in the path of its code


@functools.cache
def leave_abandoned_reads_unreported() -> None:
    """Drops these reports from now on, and no others. Errors that are raised are not touched."""
    before = sys.unraisablehook

    def report(unraisable: "sys.UnraisableHookArgs") -> None:
        if not _is_abandoned(unraisable):
            before(unraisable)

    sys.unraisablehook = report
    logging.getLogger("asyncio").addFilter(_is_told)


def _is_abandoned(unraisable: Any) -> bool:
    """Whether it is a coroutine of Orbax, or a read that ends when Orbax's loop is closed."""
    code = getattr(unraisable.object, "cr_code", None)
    if code is not None:
        return ORBAX in code.co_filename
    return unraisable.object is None and str(unraisable.exc_value) == "Event loop is closed"


def _is_told(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not ("exception was never retrieved" in message and ORBAX in message)


def root_of(error: BaseException) -> str:
    """The first line of what began a chain of errors, in at most 200 characters."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)[:200]
