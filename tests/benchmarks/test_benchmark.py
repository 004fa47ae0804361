"""The benchmark: its arithmetic, which samples it drops, and its settings."""

import importlib.util
import re

import pytest

for package in ("hydra", "matplotlib", "psutil"):
    pytest.importorskip(package, reason="needs the extra benchmark")

import hydra

from bark_jax.models.binding import abstract_params
from bark_jax.models.gpt import GPT
from bark_jax.params import flatten
from bark_jax.programs.compose import from_hydra
from bark_jax.runtime.execution import Execution
from benchmarks import load
from benchmarks.samples import Sample, derive, quote, quote_ratio
from benchmarks.settings import ROOT, BenchmarkSettings, check_installed
from benchmarks.summary import Roof, prefills, rates, summarise_batches
from benchmarks.work import (
    Formats,
    Task,
    Work,
    decode,
    fine_window,
    layer_values,
    model_config,
    prefill,
)

TINY = model_config("tiny")
F32, BF16 = (Formats(*[dtype] * 3) for dtype in ("float32", "bfloat16"))


# --- work and roofline ---


def test_decode_work_is_what_a_hand_computes():
    """2 layers 32 wide: 2 (12 · 32² + 2 · 32) = 24,704 values, and a head of 5 rows makes 24,864.

    Three steps see 10 + 11 + 12 = 33 positions, 2 layers · 2 · 32 values each, in 2 rows: 8,448.
    """
    assert layer_values(TINY.semantic) == 24_704
    assert decode(TINY.semantic, 5, 10, 3, 2, F32) == Work(
        tokens=6,
        steps=3,
        read_bytes=4 * (3 * 24_864 + 8_448),
        operations=2 * 2 * 3 * 24_864 + 2 * 8_448,
    )


def test_bfloat16_halves_the_bytes_and_leaves_the_operations():
    full, half = (decode(TINY.semantic, 5, 10, 3, 2, formats) for formats in (F32, BF16))
    assert (half.read_bytes * 2, half.operations) == (full.read_bytes, full.operations)


def test_int8_weights_leave_the_cache_in_float32():
    formats = Formats.of({"dtype": "float32", "weights": "int8"})
    assert decode(TINY.semantic, 5, 10, 3, 2, formats).read_bytes == 3 * 24_864 + 4 * 8_448


def test_prefill_work_is_what_a_hand_computes():
    """4 positions see 1 + 2 + 3 + 4 = 10; the head scores one of them."""
    one_row = 2 * 24_704 * 4 + 4 * 2 * 32 * 10 + 2 * 5 * 32
    assert prefill(TINY.semantic, 5, 4, rows=3).operations == 3 * one_row


def test_fine_work_is_what_a_hand_computes():
    """All 1024 positions see each other; six passes."""
    one_pass = 2 * 24_704 * 1024 + 4 * 2 * 32 * 1024**2 + 2 * 1024 * 32 * 1024
    work = fine_window(TINY.fine, TINY.tokens, passes=6, n_frames=225, rows=1)
    assert work == Work(tokens=6 * 225, steps=6, operations=6 * one_pass)


@pytest.mark.parametrize(("size", "millions"), [("small", 93), ("large", 312)])
def test_real_sizes_have_the_published_number_of_weights(size, millions):
    work = decode(model_config(size).semantic, 10_001, 0, 1, 0, F32)
    assert round(work.read_bytes / 4 / 1e6) == millions


def test_layer_values_are_those_of_the_model():
    shapes = flatten(abstract_params(GPT, TINY.semantic, Execution.on("cpu")))
    assert layer_values(TINY.semantic) == sum(
        leaf.size for name, leaf in shapes.items() if name.startswith("h.")
    )


def test_roofline_is_the_longer_of_both_times():
    work = Work(tokens=1, steps=1, read_bytes=600, operations=800)
    assert work.least_s(bytes_per_s=100, operations_per_s=200) == 6
    assert work.least_s(bytes_per_s=300, operations_per_s=100) == 8


def test_three_seconds_are_the_lengths_of_the_original():
    task = Task(model_config("small"), n_semantic=150, rows=2)
    assert (task.n_coarse, task.n_frames, task.audio_s) == (450, 225, 6.0)
    assert task.shapes()["codec"] == (2, 72_000)
    assert [prefills(peer, task) for peer in ("ours", "suno")] == [1, 8]


def test_rates_are_shares_of_what_the_machine_can_do():
    task = Task(TINY, n_semantic=11)
    roof = Roof(read_bytes=1e9, copy_bytes=2e9, operations={"float32": 1e9})
    work = task.work(F32)
    found = rates("semantic_decode", 0.5, task, F32, roof)
    assert found["ms_per_step"] == pytest.approx(50)
    assert found["tokens_per_s"] == pytest.approx(20)
    assert found["bytes_per_s"] == pytest.approx(work["semantic_decode"].read_bytes / 0.5)
    assert found["share_of_read"] == pytest.approx(found["bytes_per_s"] / 1e9)
    assert found["share_of_copy"] == pytest.approx(found["bytes_per_s"] / 2e9)
    assert found["roofline_tokens_per_s"] == pytest.approx(
        10 / max(work["semantic_decode"].read_bytes / 1e9, work["semantic_decode"].operations / 1e9)
    )
    fine = rates("fine", 0.5, task, F32, roof)
    assert fine["share_of_matmul"] == pytest.approx(work["fine"].operations / 0.5 / 1e9)


def test_roof_is_the_best_of_the_libraries_and_the_accelerators_memory():
    host = {"read_bytes_per_s": 1.0, "copy_bytes_per_s": 2.0}
    products = [{"matmul_per_s": {"float32": rate}} for rate in (5.0, 7.0)]
    on_cpu = Roof.of({"numpy": host, "jax": products[0], "torch": products[1]})
    assert on_cpu == Roof(1.0, 2.0, {"float32": 7.0})
    device = {"read_bytes_per_s": 10.0, "copy_bytes_per_s": 20.0}
    assert Roof.of({"numpy": host, "jax": products[0] | device}) == Roof(10, 20, {"float32": 5})


# --- samples and load ---


def test_samples_under_load_are_dropped():
    quoted = quote([(3.0, 0.0), (1.0, 0.9), (5.0, 0.1), (4.0, 0.15)], max_load=0.15)
    assert quoted is not None
    assert (quoted.median, quoted.least, quoted.kept, quoted.dropped) == (4.0, 3.0, 3, 1)
    assert not quoted.is_disturbed


def test_without_a_quiet_sample_the_quietest_is_quoted_and_marked():
    quoted = quote([(3.0, 0.8), (9.0, 0.4), (1.0, 2.0)], max_load=0.15)
    assert quoted is not None
    assert (quoted.median, quoted.kept, quoted.dropped) == (9.0, 0, 3)
    assert quoted.is_disturbed
    assert quote([], max_load=0.15) is None


def test_ratios_pair_samples_of_one_round_and_need_both_halves_quiet():
    ours = [Sample(s, load, i) for i, (s, load) in enumerate([(1.0, 0), (2.0, 0), (1.0, 0.5)])]
    theirs = [Sample(s, 0, i) for i, s in enumerate([2.0, 6.0, 99.0])]
    quoted = quote_ratio(theirs, ours, max_load=0.15)
    assert quoted is not None
    assert (quoted.median, quoted.kept, quoted.dropped) == (2.5, 2, 1)


def test_decoding_is_the_stage_less_its_prefill_and_as_disturbed_as_the_worse():
    seconds = {"semantic_prefill": 1.0, "semantic": 4.0, "coarse_prefill": 2.0, "coarse": 5.0}
    seconds |= {"fine": 7.0, "codec": 0.5}
    loads = {"semantic_prefill": 0.3, "codec": 0.2}
    samples = [Sample(s, loads.get(k, 0.0), peer="suno", stage=k) for k, s in seconds.items()]
    derived = {s.stage: s for s in derive(samples, one_prefill=set())[len(samples) :]}
    assert {k: (s.seconds, s.load) for k, s in derived.items()} == {
        "semantic_decode": (3.0, 0.3),
        "total": (16.5, 0.2),
    }
    assert "coarse_decode" in {s.stage for s in derive(samples, one_prefill={"suno"})}


def test_batches_are_held_against_solo_runs_of_the_same_round():
    tasks = [Task(TINY, 11, rows) for rows in (1, 8)]
    samples = [Sample(1.0, 0, stage="semantic", rows=1, phase="batch")]
    samples += [Sample(2.0, 0, stage="semantic", rows=8, phase="batch")]
    roof = Roof(1e9, 1e9, {"float32": 1e9})
    rows = summarise_batches(samples, tasks, {"ours": F32}, roof, max_load=0.15)
    assert {row["rows"]: row["against_solo"]["median"] for row in rows} == {1: 1.0, 8: 4.0}


def test_foreign_load_is_what_is_busy_beyond_us_and_the_clocks_resolution():
    assert load.foreign_load(busy_s=5.03, own_s=3.0, seconds=4.0) == pytest.approx(0.5)
    assert load.foreign_load(busy_s=3.02, own_s=3.0, seconds=1.0) == 0
    assert load.foreign_load(busy_s=1.0, own_s=0.0, seconds=0.0) == 0


def test_watch_takes_the_own_cpu_time_off(monkeypatch):
    busy, own, clock = iter([100.0, 103.03]), iter([7.0, 9.0]), iter([50.0, 52.0])
    monkeypatch.setattr(load, "_busy_s", lambda: next(busy))
    monkeypatch.setattr(load.time, "perf_counter", lambda: next(clock))
    with load.watch(lambda: next(own)) as seen:
        pass
    assert (seen.seconds, seen.load) == (2.0, pytest.approx(0.5))


# --- settings ---


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_config_composes(path):
    with hydra.initialize_config_dir(str(path.parent), version_base="1.3"):
        assert hydra.compose(path.stem)


def compose(*overrides: str) -> BenchmarkSettings:
    with hydra.initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        return from_hydra(BenchmarkSettings, hydra.compose("benchmark", list(overrides)))


def test_the_file_says_the_defaults():
    assert compose() == BenchmarkSettings()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("size=huge", "size='huge', want one of tiny, small, large"),
        ("peers=[suno]", "peers=('suno',), want 'ours' and any of"),
        ("peers=[ours,ours]", "peers"),
        ("batches=[4,8]", "batches=(4, 8), want different whole numbers >= 1, among them 1"),
        ("repeats=0", "repeats=0, want a whole number >= 1"),
        ("repeats=many", "repeats='many'"),
        ("audio_s=60", "audio_s=60, want 0.1 … 13.0"),
        ("dtype=float8", "dtype='float8'"),
        ("device=abacus", "device='abacus'"),
        ("max_load=-1", "max_load=-1"),
        ("+colour=red", "BenchmarkSettings has no field ['colour']"),
    ],
)
def test_bad_settings_are_named(override, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        compose(override)


def test_missing_peers_are_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bark" else 1)
    with pytest.raises(ModuleNotFoundError, match="not installed: bark"):
        check_installed(BenchmarkSettings())
    check_installed(BenchmarkSettings(peers=("ours",)))
