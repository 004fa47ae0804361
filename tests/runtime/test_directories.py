"""Directories that replace others: whatever ends the process, one of both is whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bark_jax.runtime.directories import replacing_directory
from bark_jax.runtime.locks import InUseError

KILLED = """
import os, signal, sys
from pathlib import Path
from bark_jax.runtime.directories import replacing_directory

rename, count = os.replace, 0

def killed_after(source, target):
    global count
    if count == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    count += 1
    rename(source, target)

os.replace = killed_after
with replacing_directory(Path(sys.argv[1])) as made:
    (made / "name").write_text("new")
"""


@pytest.fixture
def out(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "name").write_text("old")
    return tmp_path / "model"


def replace(out: Path) -> None:
    with replacing_directory(out) as made:
        (made / "name").write_text("new")


def test_a_directory_is_made_or_replaced_and_nothing_else_is_left(tmp_path, out):
    fresh = tmp_path / "deeper" / "fresh"
    for place in (out, fresh):
        replace(place)
        assert (place / "name").read_text() == "new"
    assert sorted(os.listdir(tmp_path)) == ["deeper", "model"]
    assert os.listdir(fresh.parent) == ["fresh"]


@pytest.mark.parametrize("n_renames", [0, 1])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("no such luck")])
def test_an_interrupt_before_or_between_the_renames_changes_nothing(
    out, monkeypatch, n_renames, error
):
    real, done = os.replace, []

    def interrupted(source, target):
        done.append(source)
        if len(done) == n_renames + 1:
            raise error
        real(source, target)

    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(os, "replace", interrupted)
        replace(out)
    assert (out / "name").read_text() == "old"
    assert os.listdir(out.parent) == ["model"]


@pytest.mark.parametrize("n_renames", [0, 1])
def test_after_a_kill_the_next_run_finds_the_old_one(out, n_renames):
    command = [sys.executable, "-c", KILLED, str(out), str(n_renames)]
    assert subprocess.run(command).returncode == -9
    assert out.exists() == (n_renames == 0)
    assert (out.parent / ".model.partial" / "made" / "name").read_text() == "new"
    with pytest.raises(ValueError), replacing_directory(out):
        assert (out / "name").read_text() == "old"
        raise ValueError
    assert (out / "name").read_text() == "old"
    assert os.listdir(out.parent) == ["model"]
    replace(out)
    assert (out / "name").read_text() == "new"


def test_one_process_at_a_time(out):
    with replacing_directory(out), pytest.raises(InUseError, match=r"/model is in use by process"):
        replace(out)
