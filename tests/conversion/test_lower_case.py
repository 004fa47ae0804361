"""A model that reads lower-case text still does after it was exported and converted back."""

import pytest

from bark_jax.conversion.convert import convert
from bark_jax.conversion.export import export
from bark_jax.runtime.paths import NANO
from bark_jax.text import Tokenizer


def test_lower_case_survives_export_and_conversion(tmp_path):
    pytest.importorskip("safetensors")
    export(NANO, tmp_path / "there", format="hf", progress=False)
    convert(tmp_path / "there", tmp_path / "back", progress=False)
    want = Tokenizer.from_directory(NANO / "tokenizer")
    found = Tokenizer.from_directory(tmp_path / "back" / "tokenizer")
    assert want.is_lower_case and found.is_lower_case
    assert found.encode("Hello THERE") == want.encode("hello there")
    assert found.unknown_id not in found.encode("Hello THERE")
