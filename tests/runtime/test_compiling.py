"""Compiling: options by platform, the notice, and where programs are kept."""

import importlib
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bark_jax.runtime import compiling, stored_programs
from bark_jax.runtime.execution import Execution
from bark_jax.runtime.platforms import CPU, PLATFORMS
from tests import tiny

HERE = tiny.F32


@pytest.fixture
def restored_config():
    """Jax's settings of the compile cache, put back afterwards."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def cache_home(tmp_path, monkeypatch, restored_config):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(compiling.CACHE_SWITCH)
    return tmp_path


def test_jit_compiles_once_per_shape(compilations):
    double = compiling.jit(lambda x, n, execution: x * n, static_argnames=("n",))
    ones, twos = jnp.ones(3), jnp.ones(3) + jnp.ones(3)
    double(ones, n=2, execution=HERE)
    before = compilations()
    assert double(twos, n=2, execution=HERE).tolist() == [4, 4, 4]
    assert compilations() == before
    double(twos, n=3, execution=HERE)
    assert compilations() == before + 1


def test_an_argument_that_is_left_out_shares_the_program_of_its_default(compilations):
    add = compiling.jit(lambda x, y=None, hooks=(), *, execution: x if y is None else x + y)
    ones = jnp.ones(3)
    add(ones, execution=HERE)
    before = compilations()
    for given in ({"y": None}, {"y": None, "hooks": ()}):
        assert add(ones, **given, execution=HERE).tolist() == [1, 1, 1]
    assert compilations() == before


def test_executions_never_share_a_program(compilations):
    """What is chosen while tracing is part of a program's key."""
    scale = compiling.jit(lambda x, execution: x * execution.platform.block_steps)
    ones = jnp.ones(3)
    assert scale(ones, execution=HERE).tolist() == [1, 1, 1]
    assert scale(ones, execution=tiny.execution(block_steps=4)).tolist() == [4, 4, 4]
    assert scale(ones, execution=HERE).tolist() == [1, 1, 1]


def test_jit_gives_up_donated_buffers():
    add = compiling.jit(lambda state, execution: state + 1, donate_argnames=("state",))
    state = jnp.ones(1000)
    add(state=state, execution=HERE)
    assert state.is_deleted()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_options_are_those_of_the_platform(platform, monkeypatch):
    seen = {}
    monkeypatch.setattr(jax, "jit", lambda function, **kwargs: seen.update(kwargs) or function)
    add = compiling.jit(lambda x, execution: x + 1)
    assert add(1, execution=Execution.on(platform)) == 2
    assert seen["compiler_options"] == dict(PLATFORMS[platform].compiler_options)


@pytest.mark.parametrize("rows, is_single", [(1, True), (2, False)])
def test_the_token_loop_of_a_single_row_has_options_of_its_own(rows, is_single, monkeypatch):
    seen = {}
    monkeypatch.setattr(jax, "jit", lambda function, **kwargs: seen.update(kwargs) or function)
    first = compiling.jit(lambda x, y, execution: x, n_rows=lambda x, y: len(x))
    first(np.ones(rows), y=0, execution=HERE)
    assert CPU.single_row_options
    assert (seen["compiler_options"].items() >= dict(CPU.single_row_options).items()) == is_single
    assert seen["compiler_options"].items() >= dict(CPU.compiler_options).items()


def test_importing_starts_no_device(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: pytest.fail("asked too early"))
    compiling.jit(lambda x, execution: x)


class Terminal:
    """A stderr that is one."""

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


@pytest.mark.parametrize("is_slow", [True, False])
def test_a_slow_first_call_says_so(monkeypatch, is_slow):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(compiling, "_NOTICE_AFTER_S", 0.05 if is_slow else 60)

    def traced(x, execution):
        time.sleep(0.5)  # the time that tracing and compiling take
        return x

    compiling.jit(traced)(jnp.ones(2), execution=HERE)
    assert ("compiling the test_compiling stage" in terminal.text) == is_slow


def test_only_a_call_that_may_compile_starts_a_timer(monkeypatch):
    started = []
    monkeypatch.setattr(sys, "stderr", Terminal())
    timer = compiling.threading.Timer
    monkeypatch.setattr(
        compiling.threading, "Timer", lambda *args: started.append(args) or timer(*args)
    )
    add = compiling.jit(lambda x, execution: x + 1)
    for size in (2, 2, 3, 2):
        add(jnp.ones(size), execution=HERE)
    assert len(started) == 2  # one for each shape


@pytest.mark.parametrize("shown", [False, True])
def test_a_notice_is_shown_where_it_is_wanted(capsys, monkeypatch, shown):
    monkeypatch.setattr(compiling, "_NOTICE_AFTER_S", 0.01)
    with compiling.notice("the training step", shown=shown):
        time.sleep(0.3)
    assert ("compiling the training step, some" in capsys.readouterr().err) == shown


def test_nothing_is_said_where_nobody_watches(capsys, monkeypatch):
    monkeypatch.setattr(compiling, "_NOTICE_AFTER_S", 0.01)

    def traced(x, execution):
        time.sleep(0.3)
        return x

    compiling.jit(traced)(jnp.ones(2), execution=HERE)
    assert capsys.readouterr().err == ""


def test_cache_is_the_users_own(cache_home):
    jax.config.update("jax_compilation_cache_dir", None)
    compiling.enable_cache()
    directory = cache_home / "bark_jax" / "compiled"
    assert jax.config.jax_compilation_cache_dir == str(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700, "whoever writes there runs code here"


def test_a_choice_of_the_user_stays(cache_home):
    for chosen in (str(cache_home / "else"), "gs://bucket/folder"):
        jax.config.update("jax_compilation_cache_dir", chosen)
        compiling.enable_cache()
        assert jax.config.jax_compilation_cache_dir == chosen
    assert not list(cache_home.iterdir())


def test_a_cache_that_takes_no_files_is_done_without(cache_home, monkeypatch):
    place = cache_home / "file"  # whoever runs the test, no folder can be made below
    place.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    jax.config.update("jax_compilation_cache_dir", None)
    with pytest.warns(UserWarning, match="file takes no files .Not a dir.*; set XDG_CACHE") as told:
        compiling.enable_cache()
        compiling.enable_cache()
    assert len(told) == 1
    assert jax.config.jax_compilation_cache_dir is None


def test_a_choice_that_takes_no_files_is_left_for_the_users_own(cache_home):
    (cache_home / "file").touch()
    jax.config.update("jax_compilation_cache_dir", str(cache_home / "file" / "mine"))
    with pytest.warns(UserWarning, match="cannot be kept in .*mine: .*file takes no files") as told:
        compiling.enable_cache()
        compiling.enable_cache()
    assert len(told) == 1
    assert jax.config.jax_compilation_cache_dir == str(cache_home / "bark_jax" / "compiled")


def test_without_a_home_nothing_is_kept(cache_home, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as it does where it knows none
    monkeypatch.chdir(cache_home)
    jax.config.update("jax_compilation_cache_dir", None)
    with pytest.warns(UserWarning, match="there is no home folder; set XDG_CACHE_HOME"):
        compiling.enable_cache()
    assert not list(cache_home.iterdir())


@pytest.mark.parametrize("value", ["off", "OFF", "0", "false"])
def test_the_switch(cache_home, monkeypatch, value):
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setenv(compiling.CACHE_SWITCH, value)
    compiling.enable_cache()
    assert jax.config.jax_compilation_cache_dir is None
    assert not list(cache_home.iterdir())


PROGRAM = """
import sys
import jax, jax.numpy as jnp
from bark_jax.runtime import compiling, stored_programs
from bark_jax.runtime.execution import Execution

traced = []

def double(state, x, n, execution):
    traced.append(n)
    return jax.nn.softmax(state * n) + x

double.__module__, double.__qualname__ = "bark_jax.stages.double", "double"
compiling.enable_cache()
call = compiling.jit(double, static_argnames=("n",), donate_argnames=("state",))
for n in (2, 3):
    state = jnp.arange(1000.0)
    made = call(state, jnp.float32(n), n=n, execution=Execution.on("cpu"))
    assert state.is_deleted()
    print(n, float(made.sum()), traced)
"""


def test_another_process_traces_nothing(cache_home, monkeypatch):
    """It has the program from a file, donated arguments and all."""
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(cache_home))
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    runs = [
        subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
        for _ in range(2)
    ]
    assert [run.returncode for run in runs] == [0, 0], runs[-1].stderr
    first, second = (run.stdout.splitlines() for run in runs)
    assert [line.rpartition(" [")[2] for line in first] == ["2]", "2, 3]"]
    assert [line.endswith("[]") for line in second] == [True, True]
    assert [line.rpartition(" [")[0] for line in first] == [line[:-3] for line in second]
    (folder,) = cache_home.glob("**/programs")
    assert len(list(folder.iterdir())) == 2
    for file in folder.iterdir():
        file.write_bytes(b"half")
    for traced in ("[2]", "[2]", "[]"):  # read from JAX's own cache; compiled and kept; from a file
        later = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
        assert later.stdout.splitlines()[0] == first[0].replace("[2]", traced)


@pytest.fixture
def jax_cache(cache_home):
    """JAX's own cache, of every program."""
    jax.config.update("jax_compilation_cache_dir", str(cache_home))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.experimental.compilation_cache.compilation_cache.reset_cache()
    yield cache_home
    jax.experimental.compilation_cache.compilation_cache.reset_cache()


def test_what_jax_has_in_its_own_cache_is_kept_the_second_time(jax_cache):
    """XLA writes what it has read only in part."""
    path = jax_cache / "programs" / "program"

    def kept() -> bool:
        path.unlink(missing_ok=True)
        lowered = jax.jit(lambda x: x + 12.0625).lower(jnp.ones(3))
        for _ in range(2):  # the second time JAX has it in memory
            stored_programs.compile_and_save(path, lowered)
        return path.exists()

    assert [kept() for _ in range(4)] == [True, False, True, False]


def test_what_was_not_used_for_longest_makes_room(jax_cache, monkeypatch):
    def keep(number: int) -> Path:
        lowered = jax.jit(lambda x: x + number).lower(jnp.ones(3))
        stored_programs.compile_and_save(path := jax_cache / "programs" / str(number), lowered)
        return path

    kept = [keep(number) for number in (2, 3, 4)]
    for age, path in enumerate(kept):
        os.utime(path, (1e9 - age, 1e9 - age))
    assert stored_programs.load(kept[2]) is not None
    monkeypatch.setattr(stored_programs, "MOST_BYTES", int(3.5 * kept[0].stat().st_size))
    kept.append(keep(5))
    assert [path.exists() for path in kept] == [True, False, True, True]


REHEARSED = """
import functools, threading
from typing import NamedTuple
import jax, numpy as np
from bark_jax.runtime import compiling, stored_programs
from bark_jax.runtime.execution import Execution

ran, looked_up = [], []
load = stored_programs.load
stored_programs.load = lambda path: looked_up.append(path) or load(path)

class Theirs(NamedTuple):
    x: np.ndarray

def double(theirs, execution):
    jax.debug.callback(ran.append, 0)
    return theirs.x + theirs.x

def triple(x, execution):
    return x + x + x

for function in (double, triple):
    function.__module__ = "bark_jax.stages.test"
compiling.enable_cache()
assert compiling.can_rehearse()
triple = compiling.jit(triple)
here = {"x": np.ones(3, np.float32), "execution": Execution.on("cpu")}

def rehearse():
    with compiling.rehearsal(threading.Event()):
        made = triple(**here)
    assert isinstance(made, np.ndarray) and made.tolist() == [0, 0, 0]
    assert triple(**here).tolist() == [3, 3, 3]  # after it

threads = [threading.Thread(target=rehearse) for _ in range(4)]
for thread in threads:
    thread.start()
assert triple(**here).tolist() == [3, 3, 3]  # beside it
for thread in threads:
    thread.join()
assert len(looked_up) == 1

# a program that cannot be kept is not rehearsed
double = functools.partial(compiling.jit(double), Theirs(here["x"]), execution=here["execution"])
is_over = threading.Event()
with compiling.rehearsal(is_over):
    try:
        double()
        print("rehearsed")
    except RuntimeError as error:
        print(error)
    is_over.set()
    try:
        triple(**here)
        print("rehearsed")
    except RuntimeError as error:
        print(error)
assert not ran
assert double().tolist() == [2, 2, 2]
"""


def test_a_rehearsed_program_is_made_once_and_not_run(cache_home, monkeypatch):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(cache_home))
    monkeypatch.setenv("JAX_LOG_COMPILES", "1")
    done = subprocess.run([sys.executable, "-c", REHEARSED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Compiling jit(triple)") == 1
    told = ["only what is kept can be rehearsed", "the rehearsal is over"]
    assert done.stdout.splitlines() == told


def test_programs_with_classes_of_others_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(stored_programs, "is_one_device", lambda: True)

    @flax.struct.dataclass
    class Theirs:
        x: jax.Array

    inside = jax.tree.structure({"processor": Theirs(jnp.ones(1))})
    for theirs in (Theirs, inside):
        assert stored_programs.path_of(tmp_path, "f", (theirs, 1)) is None
    assert stored_programs.path_of(tmp_path, "f", (lambda x: x, 1)) is None
    kept = stored_programs.path_of(tmp_path, "f", (HERE, 1))
    assert kept is not None and kept != stored_programs.path_of(tmp_path, "f", (HERE, 2))


BEING_IMPORTED = """
import threading
from pathlib import Path
from bark_jax.runtime import stored_programs

class Own:
    pass

asked = lambda: found.append(stored_programs.path_of(Path("."), "f", (Own(), Own)))
found = []
beside = threading.Thread(target=asked, daemon=True)
beside.start()
beside.join(5)
"""


def test_a_module_that_generates_while_it_is_imported_is_not_waited_for(tmp_path, monkeypatch):
    """The rehearsal's thread asked for its lock, and generating waits for the rehearsal."""
    monkeypatch.setattr(stored_programs, "is_one_device", lambda: True)
    (tmp_path / "being_imported.py").write_text(BEING_IMPORTED)
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.import_module("being_imported").found == [None]
