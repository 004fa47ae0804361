"""Points of a sweep: what is allowed, what makes two of them equal, what is checked beforehand."""

import dataclasses
import json
import re
from typing import Any

import pytest

from bark_jax import __version__
from bark_jax.config import from_dict
from bark_jax.runtime.files import write_json
from bark_jax.sampling_config import BARK, SamplingConfig
from bark_jax.sweeps import plan as plan_module
from bark_jax.sweeps.plan import check_disk, plan
from bark_jax.sweeps.point_files import ERROR_FILE, METRICS_FILE
from bark_jax.sweeps.results import gather, is_finished, open_sweep, read_row
from bark_jax.sweeps.settings import PointSettings
from tests.fake_bark import write_empty_model


def point(source: str = "nano", own: SamplingConfig = BARK, **changes: Any) -> PointSettings:
    settings = {"model": {"source": source}, "prompts": {"text": ["hello"]}, "seed": 1}
    return from_dict(PointSettings, settings | changes).settled(own)


@pytest.fixture
def model(tmp_path):
    return str(write_empty_model(tmp_path / "model"))


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 2},
        {"prompts": {"text": ["hallo"]}},
        {"voices": {"name": "alto"}},
        {"sampling": {"semantic": {"temperature": 0.8}}},
        {"sampling": {"coarse": {"top_k": 5}}},
        {"model": {"source": "nano", "dtype": "bfloat16"}},
        {"metrics": {"entropy": True}},
        {"guidance": {"text": "", "scale": 1.5}},
        {"metrics": {"score": True}},
        {"metrics": {"judges": ["words"]}},
        {"model": {"source": "nano", "stages": ["coarse=mine:Repeats"]}},
    ],
)
def test_the_key_changes_with_what_changes_the_results(changes):
    assert point(**changes).key() != point().key()


def test_what_the_model_has_of_its_own_counts_as_if_it_were_given():
    given = {"sampling": {"semantic": {"temperature": 0.4, "top_p": 0.9}}}
    own = SamplingConfig.of({"semantic": {"temperature": 0.4}, "fine": {"temperature": 0.1}})
    own = own.over(BARK)
    made = point(own=own, sampling={"semantic": {"top_p": 0.9}, "fine": {"temperature": 0.5}})
    assert made.key() == point(**given).key() != point(own=own, **given).key()
    assert made.flat() == point(**given).flat()


@pytest.mark.parametrize(
    "changes",
    [
        {"prompts": {"text": "hello"}},
        {"voices": {"name": [None]}},
        {"sampling": {"semantic": {"temperature": 0.70}, "fine": {"temperature": 0.5}}},
        {"tracking": {"kind": "wandb"}},
    ],
)
def test_the_key_does_not_change_with_spelling_or_tracking(changes):
    assert point(**changes).key() == point().key()


def test_a_whole_number_is_one_value():
    one, also = ({"sampling": {"semantic": {"temperature": value}}} for value in (1, 1.0))
    assert point(**one).key() == point(**also).key()


def test_the_key_changes_when_the_model_or_the_voice_is_written_anew(tmp_path, model):
    voice = tmp_path / "voice.npz"
    voice.write_bytes(b"one")
    before = point(model, voices={"name": str(voice)}).key()
    voice.write_bytes(b"other")
    after = point(model, voices={"name": str(voice)}).key()
    assert after != before
    write_json(tmp_path / "model" / "config.json", {})
    assert point(model, voices={"name": str(voice)}).key() not in (before, after)


def test_a_folder_called_nano_is_not_the_nano_model(tmp_path, monkeypatch):
    before = point().key()
    (tmp_path / "nano").mkdir()
    (tmp_path / "nano" / "file").write_text("x")
    monkeypatch.chdir(tmp_path)
    assert point().key() == before


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"seed": -1}, "seed=-1 is not allowed"),
        ({"seed": "x"}, "seed='x' is not allowed"),
        ({"prompts": {"text": []}}, "prompts.text has 0 entries"),
        ({"prompts": {"text": ["a", "b"]}}, "prompts.text has 2 entries, one point has one"),
        ({"prompts": {"text": " "}}, "prompts.text=' ' is not text"),
        ({"voices": {"name": 7}}, "voices.name=7 is neither"),
        ({"model": {"dtype": "int3"}}, "model.dtype='int3'"),
        ({"sampling": {"semantic": {"top_p": 2}}}, "sampling.semantic.top_p=2 is not allowed"),
        ({"sampling": {"semantic": {"heat": 2}}}, "no field ['heat']"),
        ({"tracking": {"runs": "all"}}, "tracking.runs='all'"),
        ({"tracking": {"kind": "mlflow"}}, "tracking.kind='mlflow'"),
    ],
)
def test_bad_values_are_named(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        point(**changes)


def test_flat_has_a_column_for_every_setting():
    flat = point(sampling={"coarse": {"temperature": 0.25}}).flat()
    assert flat["prompts.text"] == "hello" and flat["seed"] == 1
    assert flat["sampling.coarse.temperature"] == 0.25
    assert flat["sampling.semantic.min_eos_p"] == 0.2  # a default
    assert flat["model.source"] == "nano"


def test_plan_leaves_out_what_is_finished(tmp_path, model):
    points = [point(model, seed=seed) for seed in (1, 2)]
    out = tmp_path / "out"
    first, second = plan(points, out)
    assert (first, second) == (points[0].key(), points[1].key())
    folder = out / str(first)
    folder.mkdir()
    write_json(folder / METRICS_FILE, {"key": first, "settings": {}, "metrics": {}})
    assert not is_finished(out, str(first))  # its audio is missing
    (folder / "audio.wav").write_bytes(b"")
    assert plan(points, out) == [None, second]


def test_plan_forgets_the_errors_of_points_that_run_again(tmp_path, model):
    points = [point(model)]
    (name,) = plan(points, tmp_path / "out")
    folder = tmp_path / "out" / str(name)
    folder.mkdir()
    write_json(folder / ERROR_FILE, {"key": name, "settings": {}, "error": "E: no"})
    assert plan(points, tmp_path / "out") == [name]
    assert not (folder / ERROR_FILE).exists()


def test_plan_refuses_a_judge_that_nobody_knows(tmp_path, model):
    with pytest.raises(ValueError, match="judge 'wurds' is not known"):
        plan([point(model, metrics={"judges": ["wurds"]})], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_plan_refuses_equal_points(tmp_path, model):
    points = [point(model, seed=seed) for seed in (1, 2, 1)]
    with pytest.raises(ValueError, match=r"points 0 and 2 of the sweep are equal: .*'seed': 1"):
        plan(points, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_plan_refuses_a_sweep_without_points(tmp_path):
    with pytest.raises(ValueError, match="no points"):
        plan([], tmp_path)


def test_plan_refuses_a_model_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match="no-such-model"):
        plan([point("./no-such-model")], tmp_path)


def test_plan_refuses_results_of_another_version(tmp_path, model):
    open_sweep(tmp_path, ["a"])
    content = json.loads((tmp_path / "sweep.json").read_text())
    write_json(tmp_path / "sweep.json", content | {"bark_jax": "0.0.1"})
    with pytest.raises(ValueError, match=rf"results of bark_jax 0\.0\.1 .*this is {__version__}"):
        plan([point(model)], tmp_path)


def test_plan_refuses_a_disk_that_is_too_small(tmp_path, model, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(plan_module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ValueError, match=r"may need \d+ MiB"):
        plan([point(model)], tmp_path / "out")


def test_check_disk_passes_what_fits(tmp_path):
    check_disk(tmp_path, 1)


def test_plan_names_the_extra_of_a_missing_package(tmp_path, model, monkeypatch):
    find_spec = plan_module.importlib.util.find_spec
    monkeypatch.setattr(
        plan_module.importlib.util,
        "find_spec",
        lambda name: None if name == "pocketsphinx" else find_spec(name),
    )
    with pytest.raises(ImportError, match=r"not installed: pocketsphinx; .*bark-jax\[eval\]"):
        plan([point(model, metrics={"wer": "pocketsphinx"})], tmp_path)


def test_gather_keeps_the_order_of_the_sweep_across_runs(tmp_path):
    open_sweep(tmp_path, ["zz", "mm"])
    open_sweep(tmp_path, ["mm", "aa"])
    for key in ("aa", "mm", "zz"):
        (tmp_path / key).mkdir()
        content = {"key": key, "settings": {"seed": 1}, "metrics": {"duration_s": 2.0}}
        write_json(tmp_path / key / METRICS_FILE, content)
    write_json(
        tmp_path / "aa" / ERROR_FILE, {"key": "aa", "settings": {}, "error": "ValueError: no"}
    )
    (tmp_path / "aa" / METRICS_FILE).unlink()
    rows = gather(tmp_path)
    assert [row["key"] for row in rows] == ["zz", "mm", "aa"]
    assert rows[0] == {
        "folder": "zz", "key": "zz", "status": "done", "seed": 1, "duration_s": 2.0,
    }  # fmt: skip
    assert rows[2]["status"] == "failed" and rows[2]["error"] == "ValueError: no"


def test_a_damaged_file_is_a_point_that_has_not_ended(tmp_path):
    (tmp_path / METRICS_FILE).write_text('{"key": ')
    assert read_row(tmp_path) is None


def test_write_json_leaves_the_old_file_when_it_fails(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}


def test_every_setting_of_a_point_is_hashed_or_left_out_on_purpose():
    """A new field changes results or it does not: `key` must know which."""
    fields = {field.name for field in dataclasses.fields(PointSettings)}
    hashed = {"model", "prompts", "voices", "seed", "sampling", "guidance", "metrics"}
    assert fields == hashed | {"tracking"}
