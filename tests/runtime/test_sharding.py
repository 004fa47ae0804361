"""A mesh of devices gives the tokens of one device: forced host devices, and two processes."""

import dataclasses
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from bark_jax.runtime.sharding import checked_mesh, groups_per_call
from bark_jax.stages import runner
from tests import tiny


def start(out, devices, data, model, *process):
    command = [sys.executable, "-m", "tests.sharded_generate", devices, data, model, out, *process]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)


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


@pytest.mark.parametrize(
    ("data", "model", "share"),
    [pytest.param(8, 1, 1.0, marks=pytest.mark.thorough), (4, 2, 0.5)],
)
def test_eight_devices_give_the_tokens_of_one(tmp_path, one_device, data, model, share):
    printed = finish(start(tmp_path / "out.npz", 8, data, model))
    check_equal(tmp_path / "out.npz", one_device)
    assert f"share of a weight per device: {share}" in printed


@pytest.mark.thorough
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


def test_a_mesh_is_in_use_only_while_a_stream_computes(monkeypatch):
    """Not while the caller works on the rows that it has got."""

    def axes() -> tuple[str, ...]:
        return jax.sharding.get_abstract_mesh().axis_names

    def compute(params, requests, n_rows, guide, **_):
        for row in range(len(requests)):
            assert axes() == ("data",)
            yield row, None

    monkeypatch.setattr(runner, "stream_semantic", compute)
    bark = tiny.make_bark()
    mesh = checked_mesh(jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,)))
    sharded = dataclasses.replace(bark.runner, mesh=mesh)
    batch = bark._batch(text=["one", "two", "three"], voice=None, seed=0, sampling=None)
    seen = [(row, axes()) for row, _ in sharded.semantic_stream(batch, n_rows=2)]
    assert seen == [(0, ()), (1, ()), (2, ())]


@pytest.mark.parametrize(
    "most, rows, groups",
    [
        (16, range(3), [[0, 1, 2, 0]]),
        (16, range(1), [[0]]),
        (4, [4, 7, 9, 11, 12], [[4, 7, 9, 11], [12]]),
        (1, [5, 6], [[5], [6]]),
    ],
)
def test_large_batches_are_cut_into_calls_of_powers_of_two(most, rows, groups):
    assert groups_per_call(rows, parallel_rows=most) == groups


def test_other_axes_are_refused():
    mesh = jax.make_mesh((1,), ("rows",), axis_types=(AxisType.Auto,))
    with pytest.raises(ValueError, match=r"mesh has axes \['rows'\]; want 'data'"):
        checked_mesh(mesh)
