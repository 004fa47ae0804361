"""The later stages are rehearsed once, where that can help, and never change what a call does."""

import dataclasses
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from bark_jax import Bark
from bark_jax.runtime.placement import StageParams
from bark_jax.stages import rehearsal
from tests import tiny


@pytest.fixture
def possible(monkeypatch):
    """As on a machine with one device and a compile cache."""
    monkeypatch.setattr(rehearsal, "can_rehearse", lambda: True)
    monkeypatch.setattr(rehearsal, "_rehearsed", set())


def test_once_for_a_model_and_a_number_of_rows(possible, monkeypatch):
    asked = []
    monkeypatch.setattr(
        rehearsal, "_rehearse", lambda runner, batch, is_over: asked.append(batch.n_rows)
    )
    bark = tiny.make_bark()
    for text in ("hello", "good morning", ["hello", "hello"]):
        bark.generate(text)
    list(bark.stream_audio("hello"))
    list(bark.stream(["hello", "why", "no", "yes"], batch_rows=3))
    assert asked == [1, 2, 3]
    rehearsal._rehearsed.clear()
    tiny.make_bark(offload=True).generate("hello")  # the device holds one stage at a time
    bark.with_stages(codec=lambda codes: [np.zeros(1, np.float32) for _ in codes]).generate("hello")
    assert asked == [1, 2, 3]


def test_what_goes_wrong_is_told_by_the_stage(possible, capfd):
    def damaged():
        raise ValueError("the 'fine' stage is damaged")

    bark = tiny.make_bark()
    params = {**bark.runner.params, "fine": StageParams(damaged)}
    with pytest.raises(ValueError, match="the 'fine' stage is damaged"):
        Bark(dataclasses.replace(bark.runner, params=params), bark.voices).generate("hello")
    assert capfd.readouterr().err == ""


STREAMS = """
import threading
from bark_jax.runtime import compiling
from bark_jax.stages import rehearsal
from bark_jax.streaming.semantic_draws import SemanticDraws
from tests import tiny

made, stored, draw = [], compiling._stored, SemanticDraws.draw

def noted(function, *rest):
    if threading.current_thread() is threading.main_thread():
        made.append(function.__module__.rpartition(".")[2])
    return stored(function, *rest)

def late(self, until):
    if threading.current_thread() is threading.main_thread():
        rehearsal._begun[-1][0].join()
    draw(self, until)

compiling._stored, SemanticDraws.draw = noted, late
bark = tiny.make_bark()
long = {"semantic": {"allow_early_stop": False, "max_duration_s": 3}}
assert sum(chunk.size for chunk in bark.stream_audio("hello", sampling=long))
print(*made)
"""


def test_exact_streams_have_their_programs_from_the_rehearsal(tmp_path, monkeypatch):
    """All that is left is the semantic stage, and the first state of the codec."""
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    done = subprocess.run([sys.executable, "-c", STREAMS], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["codec semantic semantic"], done.stderr


COMPILING = """
import signal, sys, time
from bark_jax import cli
from bark_jax.stages.runner import StageRunner

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
StageRunner.semantic = lambda *args, **kwargs: time.sleep(60)  # the others are compiled meanwhile
sys.exit(cli.main(["hello", "--model", "nano"]))
"""


@pytest.mark.thorough
@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_while_compiling_is_one_line_and_130(tmp_path, presses):
    """It is told at once. The process ends with what it is compiling, or by Ctrl-C again."""
    changed = {"JAX_NUM_CPU_DEVICES": "1", "XLA_FLAGS": "", "JAX_LOG_COMPILES": "1"}
    changed |= {"JAX_COMPILATION_CACHE_DIR": str(tmp_path)}
    told, is_compiling = [], False
    with subprocess.Popen(
        [sys.executable, "-c", COMPILING],
        env=os.environ | changed,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if is_compiling:
                told.append(line)
            if "interrupted" in line and presses == 2:
                run.send_signal(signal.SIGINT)
            if "Compiling jit(_begin_fn)" in line and not is_compiling:
                is_compiling = True
                run.send_signal(signal.SIGINT)
    assert (run.returncode, told[0]) == (130, "bark-jax: interrupted\n"), told
    assert "Traceback" not in "".join(told)
    assert len(told) == 1 or presses == 1  # the second press waits for nothing
