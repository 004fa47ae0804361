"""What a description says of a model for the record."""

import shutil

import pytest

from bark_jax.checkpoint import save_sampling
from bark_jax.runtime.paths import NANO
from bark_jax.sampling_config import BARK, SamplingConfig
from bark_jax.sources.description import describe


@pytest.mark.parametrize("source", ["nano", {"semantic": "nano"}])
def test_a_model_of_ours_goes_by_its_name_where_a_folder_has_it_too(source, tmp_path, monkeypatch):
    """As in a checkout, which has a folder `nano`."""
    (tmp_path / "nano").mkdir()
    monkeypatch.chdir(tmp_path)
    assert describe(source).origin["model"] == source


def test_each_stage_draws_with_the_values_of_its_own_model(tmp_path):
    models = [shutil.copytree(NANO, tmp_path / name) for name in ("one", "two")]
    save_sampling(models[0], {"semantic": {"temperature": 0.4}, "fine": {"temperature": 0}})
    save_sampling(models[1], {"semantic": {"temperature": 0.1}, "coarse": {"top_p": 0.9}})
    model = describe({"semantic": models[0], "coarse": models[1]})
    assert model.own_sampling == SamplingConfig.of(
        {"semantic": {"temperature": 0.4}, "coarse": {"top_p": 0.9}, "fine": {"temperature": 0}}
    )
    assert model.sampling.plain()["semantic"] == {**BARK.plain()["semantic"], "temperature": 0.4}


def test_a_model_without_values_of_its_own_draws_as_bark_does():
    assert describe("untrained").sampling == BARK
