"""How much of a run is done, and signals that end it."""

import signal

from bark_jax.training.run.schedule import Clock, StopSignal


def test_progress_is_the_larger_share_of_steps_and_time():
    clock = Clock(steps=100, max_minutes=1.0, elapsed_s=30.0)
    assert clock.progress(80) == 0.8
    assert clock.progress(20) == 0.5  # half of the minute had gone before
    assert Clock(None, 1.0, elapsed_s=61.0).progress(3) == 1.0


def test_sigterm_is_noticed_and_given_back():
    before = signal.getsignal(signal.SIGTERM)
    clock = Clock(1, None, 0.0)
    with StopSignal().listening() as stop:
        assert not stop.is_set(clock)
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set(clock)
    assert signal.getsignal(signal.SIGTERM) == before
