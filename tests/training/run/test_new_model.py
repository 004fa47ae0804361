"""Models for training from scratch: ids follow from the data, sizes from a config."""

from pathlib import Path

import pytest
import yaml

from bark_jax.checkpoint import load_config, load_source, load_stage
from bark_jax.config import STAGES
from bark_jax.data.manifest import TokenSpec, read_manifest
from bark_jax.text import TextSettings, Tokenizer
from bark_jax.training.run.new_model import find_tokenizer, new_config, write_new_model
from tests import tiny, tones

TINY = Path(__file__).parents[3] / "configs" / "train" / "model" / "tiny.yaml"
SIZES = {
    "semantic": {"n_layer": 1, "n_head": 2, "n_embd": 8},
    "coarse": {"n_layer": 1, "n_head": 2, "n_embd": 8},
    "fine": {"n_layer": 1, "n_head": 2, "n_embd": 8},
    "codec": {"n_filters": 2, "ratios": [4, 2], "latent_dim": 6, "n_lstm": 1},
    "tokens": {"text_length": 12, "max_semantic_tokens": 40, "fine_window": 64},
}
PIECES = {piece: index for index, piece in enumerate(tiny.PIECES)}
SPEC = TokenSpec.of(tiny.CONFIG, Tokenizer(PIECES))


def test_a_new_model_fits_the_data_that_it_is_made_for(tmp_path):
    data = tones.write_data(tmp_path / "data", n_train=1, n_eval=0)
    spec = read_manifest(data).spec
    tokenizer = find_tokenizer(None, data, spec)
    config = new_config(SIZES, spec, len(tokenizer.pieces))
    write_new_model(tmp_path / "model", config, tokenizer)
    assert load_config(tmp_path / "model") == config
    assert load_source(tmp_path / "model")["untrained_stages"] == list(STAGES)
    again = Tokenizer.from_directory(tmp_path / "model" / "tokenizer")
    spec.check_fits(TokenSpec.of(config, again))  # raises where it does not
    table = load_stage(tmp_path / "model", "semantic")["wte"]["weight"]
    assert table.shape == (config.tokens.semantic_infer_token + 1, 8)


def test_the_tiny_config_makes_a_model_for_barks_own_data():
    sizes = yaml.safe_load(TINY.read_text())
    del sizes["source"], sizes["tokenizer"]
    barks = TokenSpec(
        sample_rate=24_000,
        n_codebooks=8,
        codebook_size=1024,
        frame_rate_hz=tiny.LAYOUT.coarse_rate_hz * 3,
        semantic_vocab_size=10_000,
        semantic_rate_hz=tiny.LAYOUT.semantic_rate_hz,
        text_vocab_sha256="",
    )
    config = new_config(sizes, barks, n_pieces=119_547)
    assert config.tokens.text_length == 256  # Bark's windows, where nothing else is said
    assert config.codec.hop_length == 320


def test_lower_case_survives(tmp_path):
    Tokenizer(PIECES, TextSettings(is_lower_case=True)).save(tmp_path)
    again = Tokenizer.from_directory(tmp_path)
    assert again.encode("ABC") == again.encode("abc")
    assert again.sha256 == SPEC.text_vocab_sha256


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": {}}, r"model has no part \['text'\]"),
        ({"semantic": {"layers": 2}}, r"no field \['layers'\]"),
        ({"tokens": {"codebook_size": 3}}, r"\['codebook_size'\] follow from the data"),
        ({"tokens": {"windows": 3}}, "model.tokens: .*windows"),
        ({"codec": {"ratios": [4, 4]}}, "frames per second; the data have 25"),
    ],
)
def test_sizes_that_do_not_fit_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        new_config({**SIZES, **change}, SPEC, len(PIECES))


def test_the_vocabulary_must_be_that_of_the_data(tmp_path):
    Tokenizer({**PIECES, "more": len(PIECES)}).save(tmp_path / "other")
    with pytest.raises(ValueError, match="is not the vocabulary of the data's texts"):
        find_tokenizer(str(tmp_path / "other"), tmp_path, SPEC)
    with pytest.raises(FileNotFoundError, match=r"vocab\.txt is missing"):
        find_tokenizer(None, tmp_path, SPEC)
