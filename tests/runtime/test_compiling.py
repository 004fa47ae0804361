"""Compiling: options by platform, the notice, and where programs are kept."""

import stat
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bark_jax.runtime import compiling
from bark_jax.runtime import platforms as backend


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
    double = compiling.jit(lambda x, n: x * n, static_argnames=("n",))
    ones, twos = jnp.ones(3), jnp.ones(3) + jnp.ones(3)
    double(ones, n=2)
    before = compilations()
    assert double(twos, n=2).tolist() == [4, 4, 4]
    assert compilations() == before
    double(twos, n=3)
    assert compilations() == before + 1


def test_jit_gives_up_donated_buffers():
    add = compiling.jit(lambda state: state + 1, donate_argnames=("state",))
    state = jnp.ones(1000)
    add(state=state)
    assert state.is_deleted()


@pytest.mark.parametrize("platform", backend.BACKENDS)
def test_options_are_those_of_the_platform(platform, monkeypatch):
    seen = {}
    monkeypatch.setattr(jax, "jit", lambda function, **kwargs: seen.update(kwargs) or function)
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    assert compiling.jit(lambda x: x + 1)(1) == 2
    assert seen["compiler_options"] == dict(backend.BACKENDS[platform].compiler_options)


@pytest.mark.parametrize("rows, is_lone", [(1, True), (2, False)])
def test_the_token_loop_of_a_single_row_has_options_of_its_own(rows, is_lone, monkeypatch):
    seen = {}
    monkeypatch.setattr(jax, "jit", lambda function, **kwargs: seen.update(kwargs) or function)
    compiling.jit(lambda x, y: x, n_rows=lambda x, y: len(x))(np.ones(rows), y=0)
    options = backend.current().lone_row_options
    assert options
    assert (seen["compiler_options"].items() >= options.items()) == is_lone
    assert seen["compiler_options"].items() >= backend.current().compiler_options.items()


def test_a_platform_is_looked_up_at_the_first_call(monkeypatch):
    """Importing must not start a device."""
    monkeypatch.setattr(jax, "default_backend", lambda: pytest.fail("asked too early"))
    compiling.jit(lambda x: x)


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

    def traced(x):
        time.sleep(0.5)  # the time that tracing and compiling take
        return x

    compiling.jit(traced)(jnp.ones(2))
    assert ("compiling the test_compiling stage" in terminal.text) == is_slow


def test_nothing_is_said_where_nobody_watches(capsys):
    compiling._say_compiling("bark_jax.stages.fine")
    assert capsys.readouterr().err == ""


def test_cache_is_the_users_own(cache_home):
    jax.config.update("jax_compilation_cache_dir", None)
    compiling.enable_cache()
    directory = cache_home / "bark_jax" / "compiled"
    assert jax.config.jax_compilation_cache_dir == str(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700, "whoever writes there runs code here"


def test_a_choice_of_the_user_stays(cache_home):
    jax.config.update("jax_compilation_cache_dir", "/somewhere/else")
    compiling.enable_cache()
    assert jax.config.jax_compilation_cache_dir == "/somewhere/else"
    assert not list(cache_home.iterdir())


@pytest.mark.parametrize("value", ["off", "OFF", "0", "false"])
def test_the_switch(cache_home, monkeypatch, value):
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setenv(compiling.CACHE_SWITCH, value)
    compiling.enable_cache()
    assert jax.config.jax_compilation_cache_dir is None
    assert not list(cache_home.iterdir())
