"""A mesh of devices gives the tokens of one device: forced host devices, and two processes."""

import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from bark_jax.sharding import checked_mesh


def start(out, devices, data, model, *process):
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    command = [sys.executable, "-m", "tests.sharded_generate", devices, data, model, out, *process]
    return subprocess.Popen(
        list(map(str, command)), env=environment, stdout=subprocess.PIPE, text=True
    )


def finish(process):
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return printed


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    out = tmp_path_factory.mktemp("one") / "one.npz"
    finish(start(out, 1, 1, 1))
    return dict(np.load(out))


def check_equal(out, expected):
    got = np.load(out)
    assert set(got) == set(expected)
    for name, value in expected.items():
        if name.startswith("fine"):
            np.testing.assert_array_equal(got[name], value)
        else:  # equal codes; the codec's sums are cut up differently
            np.testing.assert_allclose(got[name], value, atol=1e-5)


@pytest.mark.parametrize(("data", "model", "share"), [(8, 1, 1.0), (4, 2, 0.5)])
def test_eight_devices_give_the_tokens_of_one(tmp_path, one_device, data, model, share):
    printed = finish(start(tmp_path / "out.npz", 8, data, model))
    check_equal(tmp_path / "out.npz", one_device)
    assert f"share of a weight per device: {share}" in printed


def test_two_processes_give_the_tokens_of_one(tmp_path, one_device):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    outs = [tmp_path / f"{i}.npz" for i in range(2)]
    processes = [start(out, 2, 4, 1, i, 2, port) for i, out in enumerate(outs)]
    for process in processes:
        finish(process)
    for out in outs:
        check_equal(out, one_device)


def test_other_axes_are_refused():
    mesh = jax.make_mesh((1,), ("rows",), axis_types=(AxisType.Auto,))
    with pytest.raises(ValueError, match=r"mesh has axes \['rows'\]; want 'data'"):
        checked_mesh(mesh)
