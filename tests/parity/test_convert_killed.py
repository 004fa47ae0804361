"""A conversion that is killed, or runs twice at once, leaves nothing that looks finished."""

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import pytest

if importlib.util.find_spec("bark") is None:
    pytest.skip("needs the extra parity", allow_module_level=True)

from bark_jax import checkpoint
from bark_jax.conversion.convert import convert
from bark_jax.runtime.locks import InUseError, held_alone

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 120


def kill_midway(source: Path, out: Path) -> None:
    """Kills a conversion as soon as its first stage is written."""
    command = [sys.executable, "-m", "bark_jax", "convert", "--source", str(source)]
    process = subprocess.Popen([*command, "--out", str(out)], cwd=ROOT, stderr=subprocess.PIPE)
    first = out.with_name(f".{out.name}.partial") / "made" / "semantic"
    deadline = time.monotonic() + TIMEOUT_S
    while not first.is_dir():
        assert process.poll() is None, f"it ended by itself: {process.stderr.read()}"
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    process.communicate()


def test_a_killed_conversion_looks_unfinished_and_is_cleared(suno_folder, tmp_path):
    out = tmp_path / "model"
    kill_midway(suno_folder, out)
    assert not out.exists()
    leftover = tmp_path / ".model.partial" / "made"
    assert leftover.is_dir(), "it was killed too late to show anything"
    with pytest.raises(FileNotFoundError, match="not a bark_jax model"):
        checkpoint.load_config(leftover)
    convert(suno_folder, out, progress=False)
    checkpoint.load_config(out)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_two_conversions_to_one_place(suno_folder, tmp_path):
    (tmp_path / ".model.partial").mkdir()
    with (
        held_alone(tmp_path / ".model.partial"),
        pytest.raises(InUseError, match=r"/model is in use by process"),
    ):
        convert(suno_folder, tmp_path / "model", progress=False)
