"""The benchmark as a program: what it refuses, and a tiny run with a peer, at times with all."""

import dataclasses
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

for package in ("hydra", "matplotlib", "psutil"):
    pytest.importorskip(package, reason="needs the extra benchmark")

from bark_jax.config import STAGES
from benchmarks.samples import Sample
from benchmarks.settings import ROOT, BenchmarkSettings


def script(*overrides: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/benchmark.py", *overrides],
        cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True,
    )  # fmt: skip


def test_the_script_refuses_bad_settings_in_one_line():
    done = script("size=huge")
    assert done.returncode == 1
    assert done.stderr.strip() == "error: size='huge', want one of tiny, small, large"


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("ours", "ours-int8", "suno"), id="suno", marks=pytest.mark.thorough),
        pytest.param(
            ("ours", "ours-int8", "suno", "transformers"), id="all", marks=pytest.mark.expensive
        ),
    ],
)
def peers(request):
    return request.param


@pytest.fixture(scope="module")
def tiny_run(peers, tmp_path_factory):
    """Peers at a tiny size; PyTorch on one thread, or tests in parallel would starve it."""
    if importlib.util.find_spec("bark") is None:
        pytest.skip("needs the extra parity")
    folder = tmp_path_factory.mktemp("benchmark")
    done = script(
        "size=tiny", f"peers=[{','.join(p for p in peers if p != 'ours-int8')}]", "weights=[int8]",
        "audio_s=0.2", "repeats=2", "batches=[1,2]",
        "batch_repeats=1", "stream_repeats=1", "streams=2",
        "cold_repeats=0", "machine_gib=0.01", "patience_s=0", "device=cpu",
        f"out={folder}/results", f"models={folder}/weights", OMP_NUM_THREADS="1",
        JAX_NUM_CPU_DEVICES="1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "results", done.stdout


def test_a_run_writes_one_line_of_json_and_a_plot(tiny_run):
    folder, printed = tiny_run
    (path,) = folder.glob("*-tiny.json")
    text = path.read_text()
    assert text.count("\n") == 1 and text == printed.splitlines()[-1] + "\n"
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    for private in (str(ROOT), str(Path.home()), str(folder), socket.gethostname()):
        assert private not in text


def test_a_run_prints_a_table(tiny_run, peers):
    table = tiny_run[1].splitlines()[:-1]
    for peer in peers:
        assert any(re.match(rf"semantic_decode +{peer} +\d", line) for line in table)
    assert any("samples dropped" in line for line in table)
    assert all(len(line) < 200 for line in table)


def test_a_result_has_what_a_reader_needs(tiny_run, peers):
    result = json.loads(tiny_run[1].splitlines()[-1])
    names = "schema date commit dirty hardware settings work machine peers first_calls_s memory"
    assert {*names.split(), "summary", "samples", "first_audio"} == result.keys()
    assert result["work"] == {
        "semantic_tokens": 10, "coarse_tokens": 30, "frames": 15, "audio_s": 0.2,
    }  # fmt: skip
    assert list(result["peers"]) == list(peers)
    assert all(about["versions"] for about in result["peers"].values())
    assert all(m["peak_rss"] >= m["rss"] > 2**20 for m in result["memory"].values())
    samples = [Sample(**sample) for sample in result["samples"]]
    assert len(samples) == 2 * 6 * len(peers) + 1 * 6 * 2 * 2  # batches of ours in two formats
    assert all(sample.seconds > 0 and sample.load >= 0 for sample in samples)
    peers_in_turn = [sample.peer for sample in samples if sample.phase == "solo"]
    assert peers_in_turn == list(peers) * 12


def test_a_summary_quotes_every_stage_and_ratio(tiny_run, peers):
    summary = json.loads(tiny_run[1].splitlines()[-1])["summary"]
    assert summary.keys() == {
        "stages", "batches", "first_audio", "compiling", "cold_start", "load"
    }  # fmt: skip
    kinds = [(row["kind"], row["streams"]) for row in summary["first_audio"]]
    assert kinds == [(kind, n) for n in (1, 2) for kind in ("whole", "exact", "low_latency")]
    for row in summary["first_audio"]:
        assert (
            0 < row["first_p50_s"] <= row["first_p95_s"] and row["first_p50_s"] <= row["all_p50_s"]
        )
    found = {(row["stage"], row["peer"]) for row in summary["stages"]}
    assert found >= {(s, p) for s in (*STAGES, "total") for p in peers}
    for row in summary["stages"]:
        assert row["real_time_factor"] > 0
        has_ratio = "ours_is_faster_by" in row
        if row["stage"] in (*STAGES, "total"):
            assert has_ratio == (row["peer"] != "ours")
        else:  # decoding is a stage less its prefill: noise may leave nothing of so tiny a one
            assert row["peer"] != "ours" or not has_ratio
    cold = {row["stage"]: row["cold_s"] for row in summary["compiling"]}
    assert cold["total"] == pytest.approx(sum(cold[stage] for stage in STAGES))
    fields = {field.name for field in dataclasses.fields(BenchmarkSettings)}
    assert fields == json.loads(tiny_run[1].splitlines()[-1])["settings"].keys()
