"""What goes into a conversion comes out again, bit by bit, from every layout that is read."""

import hashlib
import importlib.util
import json
import shutil
import sys

import numpy as np
import pytest

if importlib.util.find_spec("bark") is None:
    pytest.skip("needs the extra parity", allow_module_level=True)

import tokenizers
import torch
from safetensors.torch import load_file, save_file

from bark_jax import checkpoint
from bark_jax.conversion.convert import convert
from bark_jax.conversion.export import export
from bark_jax.params import flatten
from tests.parity.reference import CODEC_FILE
from tests.parity.sources import VOICES, add_suno_voices, edited, linked, preset

GPT_STAGES = ("semantic", "coarse", "fine")


def assert_same_tensors(got, want):
    """Equal names, dtypes, shapes and bits."""
    assert got.keys() == want.keys()
    for name, value in want.items():
        assert got[name].dtype == value.dtype, name
        assert torch.equal(got[name], value), name


def plain(state):
    """Suno's names without what torch.compile puts before them."""
    return {name.removeprefix("_orig_mod."): value for name, value in state.items()}


def leaves(model, stage):
    return {name: np.asarray(v) for name, v in flatten(checkpoint.load_stage(model, stage)).items()}


def assert_same_models(got, want):
    assert checkpoint.load_config(got) == checkpoint.load_config(want)
    for stage in (*GPT_STAGES, "codec"):
        expected = leaves(want, stage)
        found = leaves(got, stage)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.parametrize("suffix", ["", "_2"])
def test_suno_files_come_back(suno_folder, tmp_path, suffix):
    source = linked(suno_folder, tmp_path / "suno", "text.pt")
    (source / f"text{suffix}.pt").symlink_to(suno_folder / "text.pt")
    add_suno_voices(source)
    convert(source, tmp_path / "model", progress=False)
    export(tmp_path / "model", tmp_path / "back", format="suno", progress=False)
    for name in (f"text{suffix}.pt", "coarse.pt", "fine.pt"):
        want = torch.load(source / name, weights_only=False)
        got = torch.load(tmp_path / "back" / name, weights_only=False)
        assert_same_tensors(got["model"], plain(want["model"]))
        assert got["model_args"] == want["model_args"]
        assert got["best_val_loss"].item() == want["best_val_loss"].item()
    assert_same_tensors(torch.load(tmp_path / "back" / CODEC_FILE), torch.load(source / CODEC_FILE))
    assert (tmp_path / "back/vocab.txt").read_bytes() == (source / "vocab.txt").read_bytes()
    for name in VOICES:
        with np.load(tmp_path / "back/voices" / f"{name}.npz") as got:
            for key, want in preset(name).items():
                assert got[key].dtype == want.dtype
                np.testing.assert_array_equal(got[key], want)


def test_huggingface_files_come_back(hf_folder, hf_model, tmp_path):
    export(hf_model, tmp_path / "back", format="hf", progress=False)
    assert_same_tensors(
        load_file(tmp_path / "back/model.safetensors"), load_file(hf_folder / "model.safetensors")
    )
    assert (tmp_path / "back/vocab.txt").read_bytes() == (hf_folder / "vocab.txt").read_bytes()
    index = json.loads((tmp_path / "back/speaker_embeddings_path.json").read_text())
    for name in VOICES:
        for key, want in preset(name).items():
            got = np.load(tmp_path / "back" / index[name][key])
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_comes_back(hf_folder, tmp_path, dtype):
    source = linked(hf_folder, tmp_path / "half", "model.safetensors")
    state = load_file(hf_folder / "model.safetensors")
    half = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
    save_file(half, source / "model.safetensors", metadata={"format": "pt"})
    convert(source, tmp_path / "model", progress=False)
    export(tmp_path / "model", tmp_path / "back", format="hf", progress=False)
    assert_same_tensors(load_file(tmp_path / "back/model.safetensors"), half)


def as_published_bin(state):
    """As in the hub's `.bin`: old weight norm, fine heads there beside the tables."""
    old = {}
    for name, value in state.items():
        name = name.replace(".parametrizations.weight.original0", ".weight_g")
        old[name.replace(".parametrizations.weight.original1", ".weight_v")] = value
    for i in range(7):
        table = state[f"fine_acoustics.input_embeds_layers.{i + 1}.weight"]
        old[f"fine_acoustics.lm_heads.{i}.weight"] = table
    return old


def as_shards(state, folder):
    names = sorted(state)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for part, own in parts.items():
        save_file({name: state[name] for name in own}, folder / part, metadata={"format": "pt"})
    where = {name: part for part, own in parts.items() for name in own}
    index = {"metadata": {}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("layout", ["bin", "legacy bin", "shards"])
def test_every_huggingface_layout_gives_one_model(hf_folder, hf_model, tmp_path, layout):
    source = linked(hf_folder, tmp_path / "source", "model.safetensors")
    state = load_file(hf_folder / "model.safetensors")
    if layout == "shards":
        as_shards(state, source)
    else:
        is_zip = layout == "bin"
        torch.save(
            as_published_bin(state),
            source / "pytorch_model.bin",
            _use_new_zipfile_serialization=is_zip,
        )
    convert(source, tmp_path / "model", progress=False)
    assert_same_models(tmp_path / "model", hf_model)


def test_safetensors_need_no_torch(hf_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    convert(hf_folder, tmp_path / "model", progress=False)


def test_vocabulary_comes_out_of_tokenizer_json(hf_folder, tmp_path):
    source = linked(hf_folder, tmp_path / "source", "vocab.txt")
    wordpiece = tokenizers.BertWordPieceTokenizer.from_file(str(hf_folder / "vocab.txt"))
    wordpiece.save(str(source / "tokenizer.json"))
    convert(source, tmp_path / "model", stages=["fine"], progress=False)
    want = (hf_folder / "vocab.txt").read_bytes()
    assert (tmp_path / "model/tokenizer/vocab.txt").read_bytes() == want


def test_old_checkpoints_of_suno_are_read(suno_folder, model_folder, tmp_path):
    """One vocabulary size, causal masks among the tensors, optimizer state, no loss."""

    def age(content):
        del content["best_val_loss"]
        args = content["model_args"]
        args["vocab_size"] = args.pop("input_vocab_size")
        del args["output_vocab_size"]
        mask = torch.ones(1, 1, 8, 8).tril()
        content["model"] |= {f"_orig_mod.transformer.h.{i}.attn.bias": mask for i in range(2)}
        content["optimizer"] = {"state": {0: {"exp_avg": torch.zeros(3)}}}

    source = edited(suno_folder, tmp_path / "old", "coarse.pt", age)
    convert(source, tmp_path / "model", progress=False)
    assert_same_models(tmp_path / "model", model_folder)


def test_size_chooses_among_both(suno_folder, tmp_path):
    source = linked(suno_folder, tmp_path / "both")
    for kind in ("text", "coarse", "fine"):
        (source / f"{kind}_2.pt").symlink_to(suno_folder / f"{kind}.pt")
    with pytest.raises(ValueError, match=r"both sizes .*text.pt and text_2.pt.*--size"):
        convert(source, tmp_path / "model", progress=False)
    convert(source, tmp_path / "model", size="large", stages=["fine"], progress=False)
    stages = checkpoint.load_source(tmp_path / "model")["stages"]
    assert [stages[s]["file"] for s in GPT_STAGES] == ["text_2.pt", "coarse_2.pt", "fine_2.pt"]


def test_source_is_recorded(suno_folder, model_folder):
    source = checkpoint.load_source(model_folder)
    for name in ("text.pt", "coarse.pt", "fine.pt", CODEC_FILE):
        want = hashlib.sha256((suno_folder / name).read_bytes()).hexdigest()
        assert source["sha256"][name] == want
    assert source["stages"]["fine"]["best_val_loss"] == 2.901


def test_codec_of_another_hash_is_used_with_a_warning(suno_folder, tmp_path):
    with pytest.warns(UserWarning, match=f"{CODEC_FILE} is not the published file"):
        convert(suno_folder, tmp_path / "model", stages=["fine"], progress=False)


def test_only_the_wanted_stages_are_written(hf_folder, tmp_path):
    convert(hf_folder, tmp_path / "model", stages=["codec"], progress=False)
    assert (tmp_path / "model/codec").is_dir()
    assert not (tmp_path / "model/semantic").exists()
    assert not list((tmp_path).glob(".*"))


def test_overwrite_replaces_a_model(hf_folder, hf_model, tmp_path):
    out = tmp_path / "model"
    shutil.copytree(hf_model, out)
    (out / "voices/mine.npz").write_bytes(b"")
    convert(hf_folder, out, overwrite=True, progress=False)
    assert not (out / "voices/mine.npz").exists()
    assert_same_models(out, hf_model)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
