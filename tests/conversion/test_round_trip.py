"""What a model reads and how it draws stays when it is exported and converted back."""

import dataclasses
import json

import pytest

from bark_jax.checkpoint import load_config, load_sampling, save_config, save_sampling
from bark_jax.conversion.convert import convert
from bark_jax.conversion.export import export
from bark_jax.conversion.quantize import quantize_model
from bark_jax.sampling_config import SamplingConfig
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


def test_its_own_sampling_survives_and_is_what_transformers_is_told(model, tmp_path):
    pytest.importorskip("safetensors")
    own = {
        "semantic": {"temperature": 0.4, "top_p": 0.9, "allow_early_stop": False},
        "coarse": {"temperature": 0.0, "top_k": 7},
        "fine": {"temperature": 0},
    }
    save_sampling(model, own)
    quantize_model(model, tmp_path / "small", progress=False)
    export(model, tmp_path / "there", format="hf", progress=False)
    convert(tmp_path / "there", tmp_path / "back", progress=False)
    assert load_sampling(tmp_path / "small") == load_sampling(tmp_path / "back")
    assert load_sampling(tmp_path / "back").plain() == own
    told = json.loads((tmp_path / "there" / "generation_config.json").read_text())
    semantic, coarse = told["semantic_config"], told["coarse_acoustics_config"]
    assert [semantic[n] for n in ("do_sample", "temperature", "top_k", "top_p", "min_eos_p")] == [
        True, 0.4, 0, 0.9, 0.2,
    ]  # fmt: skip
    assert (coarse["do_sample"], coarse["top_k"], "top_p" in coarse) == (False, 7, False)
    assert told["fine_acoustics_config"]["temperature"] == 1.0  # which is argmax there


def test_values_of_other_programs_are_not_taken_over(model, tmp_path):
    """Such as transformers' top_k of 50 beside Bark's temperatures."""
    pytest.importorskip("safetensors")
    export(model, tmp_path / "there", format="hf", progress=False)
    path = tmp_path / "there" / "generation_config.json"
    told = json.loads(path.read_text())
    assert told["semantic_config"]["temperature"] == 0.7
    told["semantic_config"] |= {"top_k": 50, "temperature": 1.0}
    path.write_text(json.dumps(told))
    convert(tmp_path / "there", tmp_path / "back", progress=False)
    assert load_sampling(tmp_path / "back") == SamplingConfig()


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("sampling.json", '{"coarse": {"top_p": 2}}', r"sampling\.json: .*top_p=2 is not allowed"),
        ("vocab.txt", "no such\npieces\n", r"vocab\.txt is not a WordPiece vocabulary"),
    ],
)
def test_faults_of_small_files_do_not_wait_for_the_weights(model, tmp_path, name, content, message):
    pytest.importorskip("safetensors")
    export(model, tmp_path / "there", format="hf", progress=False)
    weights = tmp_path / "there" / "model.safetensors"
    header, kept = weights.read_bytes().split(b"layernorm_final", 1)
    weights.write_bytes(header + b"layernorm_other" + kept)
    with pytest.raises(ValueError, match="makes no model"):
        convert(tmp_path / "there", tmp_path / "back", progress=False)
    (tmp_path / "there" / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        convert(tmp_path / "there", tmp_path / "back", progress=False)
    assert not (tmp_path / "back").exists()


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
