"""The allocator's threshold is low while a model is read, and back to the usual one after."""

import pytest

from bark_jax import host_memory


def test_the_threshold_is_put_back_even_after_an_error(monkeypatch):
    calls = []
    monkeypatch.setattr(host_memory, "_mallopt", lambda: lambda *arguments: calls.append(arguments))
    with pytest.raises(KeyError), host_memory.large_buffers_returned():
        assert calls == [(-3, 1 << 20)]
        raise KeyError
    assert calls == [(-3, 1 << 20), (-3, 32 << 20)]


def test_the_system_s_own_allocator_takes_it():
    with host_memory.large_buffers_returned():
        bytearray(8 << 20)
