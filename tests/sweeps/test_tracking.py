"""What sweeps tell Weights & Biases, with a stand-in in its place."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from bark_jax.sweeps.record import track_point
from bark_jax.sweeps.results import open_sweep
from bark_jax.sweeps.settings import PointSettings, PromptSettings, SweepTrackingSettings
from bark_jax.sweeps.summary import finish
from tests.fake_bark import tone
from tests.report.test_report import add_point


class FakeWandb(SimpleNamespace):
    """Notes what it is told; fails where `broken` says so."""

    def __init__(self, broken: str = "") -> None:
        super().__init__(runs=[], logged=[], tables=[], finished=0, broken=broken)

    def init(self, **options: Any) -> "FakeWandb":
        if self.broken == "init":
            raise OSError("no network")
        self.runs.append(options)
        return self

    def log(self, values: dict, step: int | None = None) -> None:
        if self.broken == "log":
            raise OSError("no network")
        self.logged.append(values)

    def Table(self, columns: list, data: list, allow_mixed_types: bool) -> dict:
        return {"columns": columns, "data": data}

    def Audio(self, data: Any, caption: str, sample_rate: int | None = None) -> tuple:
        return ("audio", data, caption)

    def Image(self, path: str) -> tuple:
        with open(path, "rb") as file:
            return ("image", file.read(4))

    def finish(self) -> None:
        self.finished += 1


@pytest.fixture
def sweep_dir(tmp_path):
    open_sweep(tmp_path, ["a", "b"])
    add_point(tmp_path / "a", 0.5, 0)
    add_point(tmp_path / "b", 0.9, 1)
    return tmp_path


def test_a_sweep_is_one_run_with_a_table(sweep_dir, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", wandb := FakeWandb())
    tracking = SweepTrackingSettings(kind="wandb", mode="offline")
    assert finish(sweep_dir, ["a", "b"], tracking).problem is None
    assert len(wandb.runs) == wandb.finished == 1
    means, tables = wandb.logged
    assert means["mean/duration_s"] == pytest.approx(0.25) and "mean/seed" not in means
    table = tables["points"]
    first = dict(zip(table["columns"], table["data"][0], strict=True))
    assert first["audio"] == ("audio", str(sweep_dir / "a" / "audio.wav"), first["prompts.text"])
    assert first["spectrogram"] == ("image", b"\x89PNG")
    assert first["sampling.semantic.temperature"] == 0.5 and len(table["data"]) == 2
    finish(sweep_dir, [], tracking)
    assert wandb.runs[0]["id"] == wandb.runs[1]["id"]  # a resumed sweep goes on with its run


@pytest.mark.parametrize("broken", ["init", "log"])
def test_a_failed_upload_does_not_stop_a_sweep(sweep_dir, monkeypatch, capsys, broken):
    monkeypatch.setitem(sys.modules, "wandb", FakeWandb(broken))
    assert finish(sweep_dir, ["a"], SweepTrackingSettings(kind="wandb")).problem is None
    assert capsys.readouterr().err.count("tracking failed, the run goes on") == 1
    assert (sweep_dir / "results.jsonl").exists()


@pytest.mark.parametrize("changes", [{}, {"kind": "wandb", "mode": "disabled"}])
def test_wandb_is_not_imported_without_need(sweep_dir, monkeypatch, changes):
    monkeypatch.setitem(sys.modules, "wandb", None)  # importing it raises
    assert finish(sweep_dir, ["a"], SweepTrackingSettings(**changes)).problem is None


def test_a_point_can_be_a_run_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", wandb := FakeWandb())
    tracking = SweepTrackingSettings(kind="wandb", runs="point")
    point = PointSettings(prompts=PromptSettings(text="hello"), tracking=tracking)
    made = tone("hello", None, 0, {})
    track_point(point, made, {"duration_s": 1.5, "transcript": "hullo"}, tmp_path)
    assert wandb.runs[0]["config"]["prompts.text"] == "hello"
    assert wandb.runs[0]["id"] == point.key()
    assert wandb.logged[0] == {"duration_s": 1.5} and wandb.logged[1]["audio"][0] == "audio"
