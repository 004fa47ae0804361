"""How busy others keep the CPUs while something is measured.

A decoder that spins at barriers slows down up to ten times when one core is in use elsewhere, so a
sample is worth nothing without this.
"""

import contextlib
import dataclasses
import resource
import time
from collections.abc import Callable, Iterator

import psutil

# The kernel counts CPU time in ticks of 10 ms, and two counters are subtracted here.
RESOLUTION_S = 0.03
_POLL_S = 0.3


@dataclasses.dataclass
class Watch:
    """Time and load of one measurement; set when it ends."""

    seconds: float = 0.0
    load: float = 0.0  # CPUs in use by others, on average


def foreign_load(busy_s: float, own_s: float, seconds: float) -> float:
    """CPUs that others used, from CPU time of all processes and of those being measured."""
    return max(0.0, busy_s - own_s - RESOLUTION_S) / seconds if seconds > 0 else 0.0


@contextlib.contextmanager
def watch(own_s: Callable[[], float]) -> Iterator[Watch]:
    """Times its body; `own_s` gives the CPU time of what is being measured."""
    seen = Watch()
    busy, own, begin = _busy_s(), own_s(), time.perf_counter()
    yield seen
    seen.seconds = time.perf_counter() - begin
    seen.load = foreign_load(_busy_s() - busy, own_s() - own, seen.seconds)


def wait_until_quiet(max_load: float, patience_s: float) -> None:
    """Returns as soon as the CPUs' use by all is at most `max_load`, or when patience ends."""
    end = time.perf_counter() + patience_s
    while time.perf_counter() < end:
        with watch(lambda: 0.0) as seen:
            time.sleep(_POLL_S)
        if seen.load <= max_load:
            return


def process_s(pid: int) -> Callable[[], float]:
    """CPU time of one process with all its threads."""
    process = psutil.Process(pid)

    def own_s() -> float:
        times = process.cpu_times()
        return times.user + times.system

    return own_s


def children_s() -> float:
    """CPU time of this process's children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _busy_s() -> float:
    """CPU time of all processes, and what the hypervisor gave to others."""
    times = psutil.cpu_times()
    names = ("user", "nice", "system", "irq", "softirq", "steal")
    return sum(getattr(times, name, 0.0) for name in names)
