"""What a description says of a model for the record."""

import pytest

from bark_jax.sources.description import describe


@pytest.mark.parametrize("source", ["nano", {"semantic": "nano"}])
def test_a_model_of_ours_goes_by_its_name_where_a_folder_has_it_too(source, tmp_path, monkeypatch):
    """As in a checkout, which has a folder `nano`."""
    (tmp_path / "nano").mkdir()
    monkeypatch.chdir(tmp_path)
    assert describe(source).origin["model"] == source
