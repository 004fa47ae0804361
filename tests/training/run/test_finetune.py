"""Whole runs: they learn, end as a model, and go on after a kill as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import jax
import numpy as np
import pytest
import soundfile
import yaml

from bark_jax.checkpoint import load_config, load_sampling, load_source, load_stage, save_sampling
from bark_jax.config import from_dict, to_dict
from bark_jax.data.records import open_source
from bark_jax.generation import Generation
from bark_jax.params import flatten
from bark_jax.pipeline import Bark
from bark_jax.runtime.lines import read_rows
from bark_jax.training.run.finetune import finetune
from bark_jax.training.run.optimizer import OptimizerSettings
from bark_jax.training.run.settings import FinetuneSettings
from tests import tones

ROOT = Path(__file__).parents[3]
STEPS = 120


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A model, data, and a compile cache of this module's own."""
    home = tmp_path_factory.mktemp("finetune")
    tones.write_model(home / "model")
    save_sampling(home / "model", {"coarse": {"temperature": 0.6}})
    tones.write_data(home / "data")
    names = ["jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"]
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update(names[0], str(home / "cache"))
    jax.config.update(names[1], 0.0)
    yield home
    for name, value in before.items():
        jax.config.update(name, value)


def settings_of(home: Path, out: str, **changes) -> FinetuneSettings:
    """A short run from scratch of the semantic stage."""
    chosen = {
        "stage": "semantic",
        "data": str(home / "data"),
        "model": {"source": str(home / "model")},
        "out": str(home / out),
        "fresh": True,
        "steps": STEPS,
        "batch_size": 8,
        "ema": 0.9,
        "optimizer": OptimizerSettings(learning_rate=2e-2, warmup_steps=10),
        "save_every": 40,
        "eval_every": 60,
        "mesh": {"data": 1, "fsdp": -1},
        **changes,
    }
    return from_dict(FinetuneSettings, chosen)


def start(home: Path, settings: FinetuneSettings, **environment: str) -> subprocess.Popen:
    """The same run in a process of its own, which SIGKILL may hit."""
    path = home / f"{Path(settings.out).name}.yaml"
    path.write_text(yaml.safe_dump(to_dict(settings)))
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(home / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        **environment,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "tests.run_finetune", str(path)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_after(process: subprocess.Popen, seen: Path) -> None:
    """SIGKILL as soon as `seen` exists."""
    deadline = time.monotonic() + 300
    while not seen.exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.communicate()


def learned(home: Path, out: str) -> list[dict]:
    """The rows of a run without what depends on the clock."""
    rows = read_rows(home / out / "metrics.jsonl")
    return [
        {name: v for name, v in row.items() if name not in ("tokens_per_s", "elapsed_s")}
        for row in rows
    ]


def unigram_loss(home: Path) -> float:
    """Loss [nats] of a model that knows only how often each semantic token occurs."""
    records = open_source(home / "data", "train")
    end = [tones.L.semantic_pad_token]
    tokens = np.concatenate([np.append(record.semantic, end) for record in records])
    share = np.bincount(tokens) / len(tokens)
    return float(-(share[share > 0] * np.log(share[share > 0])).sum())


@pytest.fixture(scope="module")
def finished(home):
    return finetune(settings_of(home, "whole"))


def test_the_loss_falls_far_below_a_unigram_model(home, finished):
    assert (finished.reason, finished.step) == ("steps", STEPS)
    assert finished.eval_loss < 0.6 * unigram_loss(home)


def test_rows_say_how_the_run_went(home, finished):
    rows = read_rows(home / "whole" / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(10, STEPS + 1, 10))
    assert {"loss", "grad_norm", "learning_rate", "tokens_per_s"} <= rows[0].keys()
    assert [row["step"] for row in rows if "eval_loss" in row] == [60, 120]
    assert rows[-1]["eval_loss"] == finished.eval_loss


def test_the_export_is_a_whole_model(home, finished):
    assert load_source(finished.export)["trained"][0]["step"] == STEPS
    assert load_config(finished.export) == load_config(home / "model")
    assert load_sampling(finished.export).coarse.temperature == 0.6
    for stage, is_same in (("semantic", False), ("coarse", True)):
        now, before = (flatten(load_stage(d, stage)) for d in (finished.export, home / "model"))
        assert all((now[name] == before[name]).all() for name in now) == is_same


def test_a_killed_run_goes_on_as_if_nothing_had_happened(home, finished):
    settings = settings_of(home, "killed")
    kill_after(start(home, settings), home / "killed" / "checkpoints" / "40")
    resumed = finetune(settings)
    assert learned(home, "killed") == learned(home, "whole")
    now, before = (flatten(load_stage(o.export, "semantic")) for o in (resumed, finished))
    assert all((now[name] == before[name]).all() for name in now)


def test_other_settings_do_not_continue_a_run(home, finished):
    with pytest.raises(ValueError, match="batch_size=8 then, 4 now"):
        finetune(settings_of(home, "whole", batch_size=4))


@pytest.mark.parametrize("stage, spec, message", [
    ("semantic", {"codebook_size": 7}, "codebook_size is 7 in the data, 20 in the model"),
    ("coarse", {"codebooks_sha256": "00"}, r"codebooks_sha256 is 00 in the data, \w{64} in the"),
    ("fine", {"codebooks_sha256": "00"}, r"codebooks_sha256 is 00 in the data, \w{64} in the"),
])  # fmt: skip
def test_data_of_another_model_are_refused(home, tmp_path, stage, spec, message):
    data = tones.write_data(tmp_path / "data", n_train=4, n_eval=2)
    manifest = json.loads((data / "manifest.json").read_text())
    manifest["spec"] |= spec
    (data / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=message):
        finetune(settings_of(home, f"other-{stage}", stage=stage, data=str(data)))


def test_data_that_are_not_there_leave_no_run_behind(home):
    with pytest.raises(FileNotFoundError, match="no complete training data"):
        finetune(settings_of(home, "missing", data=str(home / "nowhere")))
    assert not (home / "missing").exists()


def test_no_records_are_an_error(tmp_path, home):
    tones.write_data(tmp_path / "empty", n_train=0, n_eval=2)
    with pytest.raises(ValueError, match="has no train records"):
        finetune(settings_of(home, "empty", data=str(tmp_path / "empty")))


@pytest.mark.thorough
def test_samples_are_audio_from_the_pipeline(home):
    settings = settings_of(
        home, "sampled", steps=40, sample_every=40, sample_texts=["abc", "fed"], ema=0.0,
        sample_judges=["likelihood"],
    )  # fmt: skip
    outcome = finetune(settings)
    folder = home / "sampled" / "samples" / "step_00000040"
    texts = settings.sample_texts
    bark = Bark.from_pretrained(outcome.export)
    made = bark.generate(list(texts), seed=[0, 1])
    means = [row.means()["semantic"] for row in bark.score(made)]
    marks = json.loads((folder / "marks.json").read_text())
    assert marks == {"mark_likelihood": pytest.approx(means, abs=1e-5)}
    for i, row in enumerate(cast("list[Generation]", made)):
        samples, rate = soundfile.read(folder / f"{i:02d}.wav", dtype="float32")
        assert rate == row.sample_rate
        np.testing.assert_array_equal(samples, row.audio)


@pytest.mark.thorough
def test_wandb_without_a_network_gets_every_row(home):
    tracking = {"kind": "wandb", "mode": "offline", "project": "tones"}
    process = start(home, settings_of(home, "tracked", steps=20, tracking=tracking))
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0 and "tracking failed" not in errors, errors
    (path,) = (home / "tracked" / "wandb").glob("offline-run-*/run-*.wandb")
    content = path.read_bytes()  # values lie in it as JSON
    rows = learned(home, "tracked")
    assert b"tones" in content and len(rows) == 2
    for row in rows:
        assert all(json.dumps(row[name]).encode() in content for name in ("loss", "grad_norm"))


@pytest.mark.expensive
@pytest.mark.parametrize("delay_s", [0.0, 0.3, 0.7, 1.5])
def test_a_run_killed_again_and_again(home, finished, delay_s):
    out = f"killed-{delay_s}"
    settings = settings_of(home, out, save_every=20)
    for step in (20, 60, 100):
        process = start(home, settings)
        deadline = time.monotonic() + 300
        while not (home / out / "checkpoints" / str(step)).exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(delay_s)
        process.kill()
        process.communicate()
    finetune(settings)
    assert learned(home, out) == learned(home, "whole")


@pytest.mark.thorough
def test_sigterm_saves_and_exits_with_0(home, finished):
    settings = settings_of(home, "stopped", steps=100_000)
    process = start(home, settings)
    while not (home / "stopped" / "checkpoints" / "40").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    last = max(int(p.name) for p in (home / "stopped" / "checkpoints").iterdir())
    assert printed.strip() == f"signal {last}"


@pytest.mark.expensive
@pytest.mark.parametrize("stage", ["coarse", "fine"])
def test_codes_are_learned_far_below_a_unigram_model(home, stage):
    outcome = finetune(settings_of(home, stage, stage=stage, steps=400, eval_every=400))
    codes = np.concatenate([r.codes.reshape(-1) for r in open_source(home / "data", "train")])
    share = np.bincount(codes) / len(codes)
    unigram = float(-(share[share > 0] * np.log(share[share > 0])).sum())
    assert outcome.eval_loss < 0.6 * unigram


@pytest.mark.thorough
def test_a_full_disk_is_named_and_the_last_checkpoint_kept(home, finished):
    """No file may grow beyond 20 kB, as on a full disk; `checkpoints` holds larger ones."""
    process = start(home, settings_of(home, "full"), TEST_FILE_LIMIT="20000")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "cannot save" in errors and "checkpoints" in errors


def test_settings_survive_their_file(home):
    settings = settings_of(home, "file")
    assert (
        from_dict(FinetuneSettings, yaml.safe_load(yaml.safe_dump(to_dict(settings)))) == settings
    )
