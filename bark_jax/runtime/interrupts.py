"""Ctrl-C: the first time everything is ended in order, the second time at once."""

import os
import signal
import threading
from typing import Any

INTERRUPTED = 130  # exit code


def end_at_once_the_second_time() -> None:
    """Lets the first Ctrl-C raise KeyboardInterrupt, as ever, and the next one end the process.

    Python itself raises it again, wherever it is by then: in the middle of telling of the first, or
    of ending, where it no longer waits for threads in native code, which then crash. A handler of
    somebody else stays.
    """
    if _is_pythons():
        signal.signal(signal.SIGINT, _raise)


def end_at_once() -> None:
    """The same where the first Ctrl-C has been, or there is no more to end in order."""
    if _is_pythons():
        signal.signal(signal.SIGINT, _end)


def _is_pythons() -> bool:
    is_main = threading.current_thread() is threading.main_thread()  # others may set no handler
    return is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _raise(*_: Any) -> None:
    signal.signal(signal.SIGINT, _end)
    raise KeyboardInterrupt


def _end(*_: Any) -> None:
    os._exit(INTERRUPTED)
