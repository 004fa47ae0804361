"""Sources of more than one test file."""

import pytest


@pytest.fixture(scope="session")
def hf_folder(tmp_path_factory):
    """A tiny random Hugging Face directory, with voices and a codec that is not Bark's."""
    from tests.parity.sources import make_huggingface

    return make_huggingface(tmp_path_factory.mktemp("hf"))


@pytest.fixture(scope="session")
def hf_model(hf_folder, tmp_path_factory):
    """`hf_folder`, converted: a model directory of ours."""
    from bark_jax.conversion.convert import convert

    out = tmp_path_factory.mktemp("hf_model") / "model"
    convert(hf_folder, out, progress=False)
    return out
