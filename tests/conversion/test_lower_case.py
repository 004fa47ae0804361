"""A model that reads lower-case text still does after it was exported and converted back."""

import dataclasses

import pytest

from bark_jax.checkpoint import load_config, save_config
from bark_jax.conversion.convert import convert
from bark_jax.conversion.export import export
from bark_jax.sources.untrained import write_random
from bark_jax.text import TextSettings, Tokenizer
from tests import tiny

VOCAB = {piece: index for index, piece in enumerate(tiny.PIECES)}


@pytest.fixture
def model(tmp_path):
    tokens = dataclasses.replace(tiny.LAYOUT, codebook_size=16, fine_hop=28)  # transformers' wish
    codec = dataclasses.replace(tiny.CONFIG.codec, codebook_size=16)
    config = dataclasses.replace(tiny.CONFIG, tokens=tokens, codec=codec)
    write_random(tmp_path / "model", config)
    Tokenizer(VOCAB, TextSettings(is_lower_case=True)).save(tmp_path / "model" / "tokenizer")
    return tmp_path / "model"


def test_lower_case_survives_export_and_conversion(model, tmp_path):
    pytest.importorskip("safetensors")
    export(model, tmp_path / "there", format="hf", progress=False)
    convert(tmp_path / "there", tmp_path / "back", progress=False)
    found = Tokenizer.from_directory(tmp_path / "back" / "tokenizer")
    assert found.settings == TextSettings(is_lower_case=True)
    assert found.encode("Hello THERE") == found.encode("hello there")
    assert found.unknown_id not in found.encode("Hello THERE")


@pytest.mark.parametrize("format", ["suno", "hf"])
def test_what_only_our_format_holds_is_refused(model, tmp_path, format):
    spelling = TextSettings(is_lower_case=True, spells_out=True)
    Tokenizer(VOCAB, spelling).save(model / "tokenizer")
    with pytest.raises(ValueError, match="spells numbers out or has a lexicon"):
        export(model, tmp_path / "there", format=format, progress=False)
    config = load_config(model)
    codec = dataclasses.replace(config.codec, kind="source_filter")
    save_config(model, dataclasses.replace(config, codec=codec), {})
    with pytest.raises(ValueError, match=r"codec\.kind='source_filter'"):
        export(model, tmp_path / "there", format=format, progress=False)
    assert not (tmp_path / "there").exists()
