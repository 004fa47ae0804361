"""Bars on a terminal of any size, and lines elsewhere."""

import fcntl
import os
import struct
import sys
import termios

import pytest

from bark_jax.runtime import progress


def test_off_a_terminal_a_line_says_every_few_seconds_how_far_it_is(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.work_bar(200, "step", desc="coarse", initial=50) as bar:
        for _ in range(25):
            now[0] += 1
            bar.set_postfix_str("loss 2.5")
            bar.update(2)
    assert capsys.readouterr().err.splitlines() == [
        "coarse: 70 of 200 steps in 00:10, 01:05 left, loss 2.5",
        "coarse: 90 of 200 steps in 00:20, 00:55 left, loss 2.5",
    ]


def test_seconds_of_audio_are_lines_off_a_terminal_too(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.seconds_bar(80.0, True) as report:
        for done_s in (10.0, 41.0, 45.0):
            now[0] += 6
            report(done_s, 81.0)
    assert capsys.readouterr().err == "41 of 81 seconds in 00:12, 00:11 left\n"


def test_what_is_not_wanted_says_nothing(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    with progress.work_bar(2, "line", wanted=False) as bar:
        bar.update()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (30, 120)])
def test_a_terminal_of_any_size_has_a_bar(monkeypatch, rows, columns):
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with progress.work_bar(2, "step", desc="coarse") as bar:
            bar.set_postfix_str("loss 2.5")
            bar.update(1)
            bar.refresh()
        shown = b""
        while not shown.endswith(b"\n"):  # a terminal passes on what it is given piece by piece
            shown += os.read(ours, 10_000)
    os.close(ours)
    last = shown.decode().strip().split("\r")[-1]
    assert "coarse:  50%|" in last and "| 1/2 [" in last and "loss 2.5" in last
