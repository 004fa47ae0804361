"""Returns freed memory to the system where glibc would keep it."""

import contextlib
import ctypes
import sys
from collections.abc import Callable, Iterator
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt(3)
_SMALL, _USUAL = 1 << 20, 32 << 20  # bytes; glibc by itself goes up to the second


@contextlib.contextmanager
def large_buffers_returned() -> Iterator[None]:
    """In the block, buffers of 1 MiB and more go back to the system as soon as they are freed.

    glibc keeps freed buffers of up to 32 MiB, and the weights that stay lie between them: after
    loading, the small Bark (1.57 GB of parameters) took 2.34 GB, and takes 1.81 GB this way.
    Does nothing without glibc.

    After the block, twice 32 MiB of freed memory are kept. glibc arrives there by itself, unless a
    threshold has been set: then it keeps only 128 KiB. Matrix products pack their inputs into
    buffers of some MiB, so that a window of the fine model asked the system for 3.5 GB of pages
    (0.18 GB this way).
    """
    set_option = _glibc("mallopt")
    set_option(_M_MMAP_THRESHOLD, _SMALL)
    try:
        yield
    finally:
        set_option(_M_MMAP_THRESHOLD, _USUAL)
        set_option(_M_TRIM_THRESHOLD, 2 * _USUAL)


def return_freed() -> None:
    """Returns freed memory that lies between memory in use; takes some milliseconds.

    Compiling a program of the small Bark, or reading it from the compile cache, takes 60 to 150 MiB
    in small pieces, of which 10 to 60 stay in use: with this after each program and between the
    stages, peak memory from text to audio is 0.1 to 0.2 GiB lower. Does nothing without glibc.
    """
    _glibc("malloc_trim")(0)


def _glibc(name: str) -> Callable[..., Any]:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            return getattr(ctypes.CDLL(None), name)
    return lambda *arguments: None
