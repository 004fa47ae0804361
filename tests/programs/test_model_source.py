"""Every program is told its model as `model.source`; older commands and runs still work."""

from pathlib import Path

import hydra
import pytest
import yaml

from bark_jax.config import from_dict, to_dict
from bark_jax.programs.compose import from_hydra
from bark_jax.training.run.directory import CONFIG_FILE, open_run
from bark_jax.training.run.settings import FinetuneSettings
from nano.evaluation import EvaluationSettings

ROOT = Path(__file__).parents[2]
FINETUNE = ["stage=fine", "data=D", "out=R"]


def finetune(*overrides: str) -> FinetuneSettings:
    with hydra.initialize_config_dir(str(ROOT / "configs" / "train"), version_base="1.3"):
        return from_hydra(FinetuneSettings, hydra.compose("finetune", [*FINETUNE, *overrides]))


def evaluation(*overrides: str) -> EvaluationSettings:
    with hydra.initialize_config_dir(str(ROOT / "configs" / "nano"), version_base="1.3"):
        return from_hydra(EvaluationSettings, hydra.compose("evaluate", list(overrides)))


@pytest.mark.parametrize(
    "config",
    ["generate", "sweep", "data/prepare_data", "data/distill_data", "nano/evaluate",
     "train/finetune"],
)  # fmt: skip
def test_the_model_has_one_name(config):
    path = ROOT / "configs" / f"{config}.yaml"
    with hydra.initialize_config_dir(str(path.parent), version_base="1.3"):
        composed = hydra.compose(path.stem, ["model.source=suno/bark-small"])
    assert composed.model.source == "suno/bark-small"


def test_older_commands_still_work():
    assert finetune("init=M") == finetune("model.source=M")
    assert finetune("init=null", "model=tiny") == finetune("model=tiny")
    assert evaluation("source=M") == evaluation("model.source=M") != evaluation()
    given = {"stage": "fine", "data": "D", "out": "R", "steps": 9}
    assert FinetuneSettings(**given, init="M") == FinetuneSettings(**given, model={"source": "M"})


def test_a_run_starts_from_a_model_or_from_sizes():
    assert (finetune("model.source=M").source, finetune("model.source=M").sizes) == ("M", {})
    new = finetune("model=tiny")
    assert new.source is None and new.sizes["fine"] == {"n_layer": 3, "n_head": 4, "n_embd": 128}
    for overrides in ([], ["model=tiny", "model.source=M"], ["model=tiny", "init=M"]):
        with pytest.raises(ValueError, match="or model=tiny for a new one: one of both"):
            finetune(*overrides)


@pytest.mark.parametrize("overrides", [["model.source=M"], ["model=tiny"]], ids=str)
def test_a_run_of_an_older_version_goes_on(tmp_path, overrides):
    settings = finetune(*overrides, f"out={tmp_path}")
    before = {**to_dict(settings), "init": settings.source, "model": settings.sizes or None}
    (tmp_path / CONFIG_FILE).write_text(yaml.safe_dump(before))
    (tmp_path / "checkpoints" / "40").mkdir(parents=True)
    with pytest.raises(ValueError, match="holds a run with other settings: model="):
        with open_run(finetune("model.source=OTHER", f"out={tmp_path}")):
            pass
    with open_run(settings):  # and the settings are now in words of today
        pass
    written = yaml.safe_load((tmp_path / CONFIG_FILE).read_text())
    assert "init" not in written and from_dict(FinetuneSettings, written) == settings
