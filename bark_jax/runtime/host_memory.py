"""Gives memory that is no longer used back to the system, where glibc would keep it."""

import contextlib
import ctypes
import sys
from collections.abc import Callable, Iterator
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt(3)
_SMALL, _USUAL = 1 << 20, 32 << 20  # bytes; glibc itself goes up to the second


@contextlib.contextmanager
def large_buffers_returned() -> Iterator[None]:
    """While it lasts, memory of 1 MiB and more goes back to the system as soon as it is freed.

    glibc keeps freed buffers of up to 32 MiB for itself, and the weights that stay lie between
    them: the small Bark (1.57 GB of parameters) was left with 2.34 GB, and has 1.81 GB this way.
    Does nothing without glibc.

    Afterwards twice 32 MiB of freed memory are kept, which is where glibc arrives by itself unless
    a threshold has been set: from then on it gives back all but 128 KiB. Matrix products pack
    their inputs into buffers of some MiB, and a window of the fine model then asked the system
    for 3.5 GB of pages (0.18 GB this way).
    """
    set_option = _glibc("mallopt")
    set_option(_M_MMAP_THRESHOLD, _SMALL)
    try:
        yield
    finally:
        set_option(_M_MMAP_THRESHOLD, _USUAL)
        set_option(_M_TRIM_THRESHOLD, 2 * _USUAL)


def return_freed() -> None:
    """Gives back what lies freed between memory in use; some milliseconds.

    Compiling a program, or reading it from the compile cache, leaves tens of MiB of it in small
    pieces: the small Bark, from text to audio, peaks 0.1 GiB lower with this between the stages.
    Does nothing without glibc.
    """
    _glibc("malloc_trim")(0)


def _glibc(name: str) -> Callable[..., Any]:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            return getattr(ctypes.CDLL(None), name)
    return lambda *arguments: None
