"""Losses do not depend on how many devices or processes share the work."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from bark_jax.runtime.lines import read_rows
from tests import tones

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.expensive  # five processes that import and compile


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("devices")
    tones.write_model(home / "model")
    tones.write_data(home / "data")
    return home


def start(home, out, devices, data, fsdp, **distributed):
    settings = {
        "stage": "semantic",
        "data": str(home / "data"),
        "model": {"source": str(home / "model")},
        "out": str(home / out),
        "fresh": True,
        "steps": 20,
        "batch_size": 16,
        "accumulate": 2,
        "ema": 0.5,
        "optimizer": {"learning_rate": 1e-2, "warmup_steps": 5},
        "log_every": 5,
        "eval_every": 20,
        "save_every": 10,
        "mesh": {"data": data, "fsdp": fsdp},
        "distributed": distributed,
    }
    path = home / f"{out}-{distributed.get('process', 0)}.yaml"
    path.write_text(yaml.safe_dump(settings))
    environment = dict(os.environ)
    environment["JAX_NUM_CPU_DEVICES"] = str(devices)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.run_finetune", str(path)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(*processes):
    for process in processes:
        printed, _ = process.communicate(timeout=580)
        assert process.returncode == 0
        assert printed.splitlines()[-1] == "steps 20"  # after what Gloo says


@pytest.fixture(scope="module")
def one_device(home):
    finish(start(home, "one", 1, 1, 1))
    return read_rows(home / "one" / "metrics.jsonl")


def check_equal(home, out, expected):
    rows = read_rows(home / out / "metrics.jsonl")
    assert [row["step"] for row in rows] == [5, 10, 15, 20]
    for name in ("loss", "grad_norm", "learning_rate"):
        # sums of 16 rows are added up in another order, in 20 steps that build on each other
        got = [row[name] for row in rows]
        np.testing.assert_allclose(got, [row[name] for row in expected], rtol=1e-4)
    assert rows[-1]["eval_loss"] == pytest.approx(expected[-1]["eval_loss"], rel=1e-4)


def test_eight_devices_have_the_losses_of_one(home, one_device):
    finish(start(home, "eight", 8, 2, 4))
    check_equal(home, "eight", one_device)


def test_two_processes_have_the_losses_of_one(home, one_device):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    together = {"coordinator": f"127.0.0.1:{port}", "n_processes": 2}
    processes = [start(home, "two", 2, 2, 2, process=i, **together) for i in range(2)]
    finish(*processes)
    check_equal(home, "two", one_device)
    assert (home / "two" / "export" / "config.json").is_file()
