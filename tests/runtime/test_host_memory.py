"""Memory goes back to the system while a model is read, and is kept for the products after."""

import subprocess
import sys

import pytest

from bark_jax.runtime import host_memory


def test_the_thresholds_are_put_back_even_after_an_error(monkeypatch):
    calls = []
    monkeypatch.setattr(host_memory, "_glibc", lambda name: lambda *values: calls.append(values))
    with pytest.raises(KeyError), host_memory.large_buffers_returned():
        assert calls == [(-3, 1 << 20)]
        raise KeyError
    assert calls[1:] == [(-3, 32 << 20), (-1, 64 << 20)]


@pytest.mark.skipif(sys.platform != "linux", reason="counts the page faults of Linux")
def test_buffers_of_some_mib_are_used_again_after_loading():
    """In a process of its own, where nothing else has set a threshold."""
    script = """
import resource
from bark_jax.runtime.host_memory import large_buffers_returned

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

with large_buffers_returned():
    bytearray(8 << 20)
bytearray(8 << 20)  # the heap grows
before = faults()
for _ in range(20):
    bytearray(8 << 20)
print(faults() - before)
"""
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True)
    assert int(done.stdout) < 2048  # pages of one buffer; 20 of them without the second threshold


@pytest.mark.skipif(sys.platform != "linux", reason="reads the resident set from /proc")
def test_freed_memory_between_used_pieces_is_given_back():
    """In a process of its own. Every second piece stays, so that the heap cannot just shrink."""
    script = """
from bark_jax.runtime.host_memory import return_freed

def resident():
    return int(open("/proc/self/statm").read().split()[1])

pieces = [bytearray(64 << 10) for _ in range(1024)]
del pieces[::2]
before = resident()
return_freed()
print(before - resident())
"""
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True)
    assert int(done.stdout) > 6000  # pages, of the 8,192 that were freed
