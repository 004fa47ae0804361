"""What is exported works where it is meant to: in the original and in transformers."""

import dataclasses
import errno
import importlib.util
import shutil

import numpy as np
import pytest

if importlib.util.find_spec("bark") is None:
    pytest.skip("needs the extra parity", allow_module_level=True)

import torch
import transformers

from bark_jax import checkpoint
from bark_jax.cli.command import main as bark_jax_command
from bark_jax.config import CodecConfig, TokenLayout
from bark_jax.conversion.convert import convert
from bark_jax.conversion.export import export
from bark_jax.conversion.huggingface_config import config_from_json, config_to_json
from bark_jax.conversion.verify import table, verify
from bark_jax.models.encodec import EnCodec
from bark_jax.text import Tokenizer
from tests import tiny
from tests.parity.reference import Reference
from tests.parity.sources import VOICES, add_suno_voices, linked, preset

STAGES = {"semantic": "semantic", "coarse": "coarse_acoustics", "fine": "fine_acoustics"}


@pytest.fixture(scope="module")
def exported(suno_folder, tmp_path_factory):
    """Suno's files, with voices, as a Hugging Face directory."""
    folder = tmp_path_factory.mktemp("exported")
    add_suno_voices(linked(suno_folder, folder / "suno"))
    convert(folder / "suno", folder / "model", progress=False)
    export(folder / "model", folder / "hf", format="hf", progress=False)
    return folder / "hf"


@pytest.fixture(scope="module")
def loaded(exported):
    model, info = transformers.BarkModel.from_pretrained(exported, output_loading_info=True)
    assert not any(info.values()), f"keys that do not fit: {info}"
    return model.eval()


@torch.no_grad()
def test_transformers_gives_the_originals_logits(loaded, reference):
    rng = np.random.default_rng(0)
    text, coarse, fine = (reference.models[kind] for kind in ("text", "coarse", "fine"))
    for ours, theirs in ((loaded.semantic, text["model"]), (loaded.coarse_acoustics, coarse)):
        ids_BT = torch.from_numpy(rng.integers(0, 12_000, (1, 50)))
        got = ours(input_ids=ids_BT).logits[:, -1:]
        torch.testing.assert_close(got, theirs(ids_BT)[0], rtol=0, atol=1e-5)
    codes_BTQ = torch.from_numpy(rng.integers(0, 1025, (1, 40, 8)))
    for codebook in (1, 4, 7):
        got = loaded.fine_acoustics(codebook, codes_BTQ).logits
        torch.testing.assert_close(got, fine(codebook, codes_BTQ), rtol=0, atol=1e-5)


@torch.no_grad()
def test_transformers_gives_the_originals_audio(loaded, reference):
    codes = torch.from_numpy(np.random.default_rng(0).integers(0, 1024, (1, 8, 30)))
    got = loaded.codec_model.decode(codes[None], [None]).audio_values
    want = reference.models["codec"].decode([(codes, None)])
    torch.testing.assert_close(got, want, rtol=0, atol=1e-6)


def test_processor_gives_our_ids_and_the_voices(exported):
    processor = transformers.BarkProcessor.from_pretrained(exported)
    text = "Hello there, é 你好 [laughs] ♪"
    batch = processor(text, voice_preset=VOICES[1])
    tokenizer = Tokenizer.from_directory(exported)
    ids = batch["input_ids"][0][batch["attention_mask"][0] == 1]
    assert ids.tolist() == tokenizer.encode(text)
    for key, want in preset(VOICES[1]).items():
        np.testing.assert_array_equal(batch["history_prompt"][key], want)


def test_transformers_generates(loaded, exported):
    """Its generation config is understood: the whole pipeline runs."""
    processor = transformers.BarkProcessor.from_pretrained(exported)
    audio = loaded.generate(
        **processor("hello there"), semantic_max_new_tokens=4, coarse_do_sample=False
    )
    assert audio.shape[1] >= 320


@pytest.mark.filterwarnings("ignore:`?torch.nn.utils.weight_norm:FutureWarning")  # in encodec
def test_the_original_reads_what_was_exported(model_folder, tmp_path, reference):
    export(model_folder, tmp_path / "suno", format="suno", progress=False)
    again = Reference.load(tmp_path / "suno")
    ids_BT = torch.arange(20)[None]
    with torch.no_grad():
        got, want = (each.models["coarse"](ids_BT)[0] for each in (again, reference))
    assert torch.equal(got, want)


def with_config(model_folder, tmp_path, **changes):
    """The model once more, with another config (and the arrays it had)."""
    out = tmp_path / "model"
    shutil.copytree(model_folder, out)
    config = dataclasses.replace(checkpoint.load_config(model_folder), **changes)
    checkpoint.save_config(out, config)
    return out


def test_without_a_record_the_width_tells_the_names(model_folder, tmp_path):
    model = with_config(model_folder, tmp_path)
    export(model, tmp_path / "suno", format="suno", progress=False)
    content = torch.load(tmp_path / "suno/text.pt", weights_only=False)
    assert np.isnan(content["best_val_loss"].item())
    assert content["model_args"]["dropout"] == 0.0


def test_a_model_with_none_of_barks_sizes(tmp_path):
    """Other vocabularies, biases, codebook counts and rates go to transformers and back."""
    tokens = dataclasses.replace(tiny.LAYOUT, codebook_size=16, fine_hop=28)
    codec = dataclasses.replace(tiny.CONFIG.codec, codebook_size=16)
    config = dataclasses.replace(tiny.CONFIG, tokens=tokens, codec=codec)
    model = tmp_path / "model"
    (model / "tokenizer").mkdir(parents=True)
    (model / "tokenizer/vocab.txt").write_text("\n".join(tiny.PIECES) + "\n")
    for stage in STAGES:
        checkpoint.save_stage(model, stage, tiny.stage_params(stage))
    checkpoint.save_stage(model, "codec", tiny.random_params(EnCodec, codec, seed=3))
    checkpoint.save_config(model, config)
    export(model, tmp_path / "hf", format="hf", progress=False)
    convert(tmp_path / "hf", tmp_path / "again", progress=False)
    assert checkpoint.load_config(tmp_path / "again") == config
    rows = verify(tmp_path / "hf", tmp_path / "again")
    assert all(row.is_equal for row in rows), table(rows)


@pytest.mark.parametrize("rate", [24_000, 16_000, 44_100, 200])
def test_every_count_of_codebooks_survives_the_bandwidths(model_folder, rate):
    config = checkpoint.load_config(model_folder)
    for n_codebooks in range(8, 65):
        codec = CodecConfig(sample_rate=rate, n_codebooks=n_codebooks)
        once = dataclasses.replace(config, codec=codec)
        assert config_from_json(*config_to_json(once)) == once


def test_codebooks_that_transformers_refuses(model_folder):
    codec = CodecConfig(codebook_size=1025)
    config = dataclasses.replace(checkpoint.load_config(model_folder), codec=codec)
    with pytest.raises(ValueError, match=r"power of two, not codec\.codebook_size=1025"):
        config_to_json(config)


def test_layout_that_suno_cannot_tell(model_folder, tmp_path):
    model = with_config(model_folder, tmp_path, tokens=TokenLayout(coarse_window=30))
    with pytest.raises(ValueError, match="cannot tell a token layout that is not Bark's"):
        export(model, tmp_path / "suno", format="suno", progress=False)
    assert not (tmp_path / "suno").exists()
    export(model, tmp_path / "hf", format="hf", progress=False)
    convert(tmp_path / "hf", tmp_path / "again", stages=["fine"], progress=False)
    assert checkpoint.load_config(tmp_path / "again").tokens.coarse_window == 30


def test_layout_that_huggingface_cannot_tell(model_folder, tmp_path):
    model = with_config(model_folder, tmp_path, tokens=TokenLayout(fine_hop=256))
    with pytest.raises(ValueError, match=r"no place for tokens\.fine_hop"):
        export(model, tmp_path / "hf", format="hf", progress=False)


def test_codec_that_suno_cannot_tell(hf_folder, tmp_path):
    convert(hf_folder, tmp_path / "model", progress=False)
    with pytest.raises(ValueError, match="cannot tell a codec that is not Bark's"):
        export(tmp_path / "model", tmp_path / "suno", format="suno", progress=False)


def test_heads_of_a_model_that_ties_others(model_folder, tmp_path):
    fine = dataclasses.replace(checkpoint.load_config(model_folder).fine, n_codes_given=2)
    model = with_config(model_folder, tmp_path, fine=fine)
    with pytest.raises(ValueError, match="n_codes_given=2; only with 1"):
        export(model, tmp_path / "suno", format="suno", progress=False)


def test_bad_input(model_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="not a bark_jax model"):
        export(tmp_path / "nowhere", tmp_path / "out", format="hf")
    with pytest.raises(ValueError, match="format='gguf' is not one of"):
        export(model_folder, tmp_path / "out", format="gguf")
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError, match="exists already; --overwrite"):
        export(model_folder, tmp_path / "out", format="hf")
    bare = tmp_path / "bare"
    shutil.copytree(model_folder, bare, ignore=shutil.ignore_patterns("tokenizer"))
    with pytest.raises(FileNotFoundError, match="no tokenizer"):
        export(bare, tmp_path / "suno", format="suno")


@pytest.mark.parametrize("format", ["suno", "hf"])
def test_disk_full(model_folder, tmp_path, monkeypatch, format):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(OSError, match=r"is full: .*nothing is left") as caught:
        export(model_folder, tmp_path / "out", format=format, progress=False)
    assert caught.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


def test_command(model_folder, tmp_path, capsys):
    arguments = ["export", "--model", str(model_folder), "--out", str(tmp_path / "out")]
    assert bark_jax_command([*arguments, "--format", "suno"]) == 0
    assert bark_jax_command([*arguments, "--format", "suno"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"bark-jax: {tmp_path / 'out'} exists already; --overwrite replaces it"
