"""What the user is told: errors in one line; warnings, and in the log where a program keeps one."""

import contextlib
import contextvars
import logging
import sys
import warnings
from collections.abc import Iterator
from types import FrameType

_is_said = contextvars.ContextVar("_is_said", default=False)


def first_line(error: BaseException) -> str:
    """The first line of what an error says; its kind, if it says nothing."""
    return str(error).strip().split("\n")[0] or type(error).__name__


def warn(message: str) -> None:
    """Warns of what is in the user's hands.

    The warning points at the line that called this package. The log of the module that warns has it
    as well, if anything listens there: without a listener Python prints what is logged to stderr,
    where `warnings` has printed it.
    """
    if _is_said.get():
        return
    frame: FrameType | None = sys._getframe(1)
    logger = logging.getLogger(frame.f_globals["__name__"])
    level = 2
    while frame and frame.f_globals["__name__"].partition(".")[0] == "bark_jax":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)
    if logger.hasHandlers():
        logger.warning(message)


@contextlib.contextmanager
def said_before() -> Iterator[None]:
    """In the block nothing is warned of: it was said at once for all that comes."""
    token = _is_said.set(True)
    try:
        yield
    finally:
        _is_said.reset(token)


@contextlib.contextmanager
def warnings_in_one_line(prog: str) -> Iterator[None]:
    """In the block a warning is one line on stderr, without the place in the code."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: print(
            f"{prog}: {' '.join(str(message).split())}", file=sys.stderr
        )
        yield


@contextlib.contextmanager
def logging_left_alone() -> Iterator[None]:
    """In the block no library sets up the log in the program's place.

    absl, which Orbax logs with, does so at its first message: all logs would go to stderr from then
    on, and a later `logging.basicConfig` of the program would do nothing. A handler keeps it away.
    """
    guard = logging.NullHandler()
    logging.root.addHandler(guard)
    try:
        yield
    finally:
        logging.root.removeHandler(guard)
