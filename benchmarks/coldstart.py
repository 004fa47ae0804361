"""Whole processes, from start to end: importing, and saying one line with the smallest model."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import load
from benchmarks.samples import Sample
from benchmarks.settings import ROOT, BenchmarkSettings

LINE = "hello there"


def measure_cold_starts(settings: BenchmarkSettings, env: dict[str, str]) -> list[Sample]:
    """Samples of every command, with caches warm from an earlier run."""
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, **env, "XDG_CACHE_HOME": folder}
        out = str(Path(folder, "hello.wav"))
        speak = ["-m", "bark_jax", LINE, "--model", "nano", "-o", out, "--seed", "1", "--quiet"]
        commands = {
            "python -c pass": ["-c", "pass"],
            "import bark_jax": ["-c", "import bark_jax"],
            "from bark_jax import Bark": ["-c", "from bark_jax import Bark"],
            "first audio of nano": speak,
        }
        _run(speak, env)
        return [
            _sample(name, arguments, env, index, settings)
            for index in range(settings.cold_repeats)
            for name, arguments in commands.items()
        ]


def _sample(
    name: str, arguments: list[str], env: dict[str, str], index: int, settings: BenchmarkSettings
) -> Sample:
    load.wait_until_quiet(settings.max_load, settings.patience_s)
    with load.watch(load.children_s) as seen:
        _run(arguments, env)
    return Sample(seen.seconds, seen.load, index, stage=name, phase="cold")


def _run(arguments: list[str], env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=env, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{arguments} failed:\n{done.stderr[-2000:]}")
