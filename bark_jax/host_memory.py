"""Keeps read buffers from staying with the process after a model is loaded."""

import contextlib
import ctypes
import sys
from collections.abc import Iterator

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
    set_option = _mallopt()
    set_option(_M_MMAP_THRESHOLD, _SMALL)
    try:
        yield
    finally:
        set_option(_M_MMAP_THRESHOLD, _USUAL)
        set_option(_M_TRIM_THRESHOLD, 2 * _USUAL)


def _mallopt():
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            return ctypes.CDLL(None).mallopt
    return lambda option, value: None
