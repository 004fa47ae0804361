"""`bark-jax info MODEL`: what a model says of itself. Of audio files: test_long_text.py."""

import json
import shutil

import pytest

from bark_jax.checkpoint import load_config, save_config, save_sampling
from bark_jax.cli import command as cli
from bark_jax.runtime.paths import NANO


def test_info_of_a_model_tells_its_sizes_voices_and_sampling(capsys):
    assert cli.main(["info", "nano"]) == 0
    said = capsys.readouterr().out
    assert "sample_rate: 16000" in said and "voices: rms, slt" in said
    assert "semantic: 4 layers of width 128, 4 heads" in said
    assert "sampling\n  semantic\n    temperature: " in said and "weights" not in said


def test_info_tells_which_values_and_formats_are_the_models_own(tmp_path, capsys):
    model = shutil.copytree(NANO, tmp_path / "model")
    save_sampling(model, {"coarse": {"temperature": 0.25}})
    save_config(model, load_config(model), {"weights": {"coarse": "int8"}})  # as quantize does
    assert cli.main(["info", str(model), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["sampling_of_its_own"] == {"coarse": {"temperature": 0.25}}
    assert said["sampling"]["coarse"] == {"temperature": 0.25, "top_k": None, "top_p": None}
    assert said["sampling"]["semantic"]["temperature"] == 0.7
    assert said["weights"] == {"coarse": "int8"}


@pytest.mark.parametrize("command", [["info", "."], ["info", "nanno"]])
def test_info_of_what_is_no_model_says_so(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    assert cli.main(command) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
