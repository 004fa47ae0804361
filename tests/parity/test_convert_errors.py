"""Every kind of bad source: one error that names all that is wrong, and nothing left behind."""

import errno
import importlib.util
import os
import pickle
import shutil

import numpy as np
import pytest

if importlib.util.find_spec("bark") is None:
    pytest.skip("needs the extra parity", allow_module_level=True)

import torch

from bark_jax import checkpoint
from bark_jax.cli.command import main as bark_jax_command
from bark_jax.conversion import convert as convert_module
from bark_jax.conversion.convert import convert
from bark_jax.conversion.export import export
from tests.parity.reference import CODEC_FILE
from tests.parity.sources import edited, linked, refuse

HEAD = "_orig_mod.lm_heads.2.weight"
BLOCK = "_orig_mod.transformer.h.1."


def fine_with(suno_folder, tmp_path, change):
    return edited(suno_folder, tmp_path / "source", "fine.pt", lambda c: change(c["model"]))


TENSOR_ERRORS = {
    "missing": (
        lambda model: model.pop(f"{BLOCK}ln_2.bias") is None,
        r"fine: transformer\.h\.1\.ln_2\.bias is missing",
    ),
    "unexpected": (
        lambda model: model.update(surplus=torch.zeros(3)),
        "fine: surplus is unexpected",
    ),
    "twice": (
        lambda model: model.update({"transformer.wpe.weight": torch.zeros(1024, 32)}),
        r"transformer\.wpe\.weight is there twice",
    ),
    "misshapen": (
        lambda model: model.update({f"{BLOCK}mlp.c_fc.weight": torch.zeros(32, 128)}),
        r"mlp\.c_fc\.weight has shape \(32, 128\), want \(128, 32\)",
    ),
    "dtype": (
        lambda model: model.update({f"{BLOCK}ln_1.weight": torch.zeros(32, dtype=torch.int64)}),
        r"ln_1\.weight has dtype int64, want one of float32, float16, bfloat16",
    ),
    "NaN": (
        lambda model: model[f"{BLOCK}ln_1.weight"].__setitem__(3, torch.nan),
        r"ln_1\.weight holds NaN or infinite values",
    ),
    "infinite": (
        lambda model: model[f"{BLOCK}ln_1.weight"].__setitem__(3, -torch.inf),
        r"ln_1\.weight holds NaN or infinite values",
    ),
    "head differs": (
        lambda model: model.update({HEAD: model[HEAD] + 1}),
        r"lm_heads\.2\.weight differs from the embedding table 3",
    ),
    "head missing": (lambda model: model.pop(HEAD) is None, r"lm_heads\.2\.weight is missing"),
    "head unexpected": (
        lambda model: model.update({"lm_heads.7.weight": torch.zeros(1056, 32)}),
        r"lm_heads\.7\.weight is unexpected",
    ),
}


@pytest.mark.parametrize("case", TENSOR_ERRORS)
def test_wrong_tensor(suno_folder, tmp_path, case):
    change, match = TENSOR_ERRORS[case]
    refuse(fine_with(suno_folder, tmp_path, change), tmp_path, match, stages=["fine"])


def test_one_error_names_all_that_is_wrong(suno_folder, tmp_path):
    def spoil(content):
        del content["model"][f"{BLOCK}ln_1.weight"]
        content["model"]["surplus"] = torch.zeros(3)

    first = edited(suno_folder, tmp_path / "first", "coarse.pt", spoil)
    source = edited(first, tmp_path / "source", "fine.pt", spoil)
    text = refuse(source, tmp_path, "makes no model")
    for stage in ("coarse", "fine"):
        assert f"{stage}: surplus is unexpected" in text
        assert f"{stage}: transformer.h.1.ln_1.weight is missing" in text


def test_wrong_architecture(suno_folder, tmp_path):
    """A model of another width than its `model_args` say."""
    source = edited(
        suno_folder, tmp_path / "source", "fine.pt", lambda c: c["model_args"].update(n_embd=64)
    )
    refuse(source, tmp_path, r"wpe\.weight has shape \(1024, 32\), want \(1024, 64\)")


ARGS_ERRORS = {
    "unknown": (dict(rotary=1), r"fine.pt: model_args: FineGPTConfig has no field \['rotary'\]"),
    "heads": (dict(n_head=3), "fine.pt: model_args: n_embd=32 is not a multiple of n_head=3"),
    "text": (
        dict(n_layer="two"),
        "fine.pt: model_args: n_layer='two', want a whole number in 1 … 1024",
    ),
    "no heads": (dict(n_head=0), "fine.pt: model_args: n_head=0, want a whole number in 1 …"),
    "layout": (dict(input_vocab_size=900), "input_vocab_size=900, want at least 1025"),
}


@pytest.mark.parametrize("case", ARGS_ERRORS)
def test_wrong_sizes(suno_folder, tmp_path, case):
    args, match = ARGS_ERRORS[case]
    change = lambda content: content["model_args"].update(args)  # noqa: E731
    refuse(edited(suno_folder, tmp_path / "source", "fine.pt", change), tmp_path, match)


def test_sizes_that_are_not_there(suno_folder, tmp_path):
    source = edited(
        suno_folder, tmp_path / "source", "fine.pt", lambda c: c["model_args"].pop("bias") is None
    )
    refuse(source, tmp_path, "fine.pt: model_args lack bias")


@pytest.mark.parametrize("content", [{"model": {}}, [1, 2], {"model": {}, "model_args": 3}])
def test_no_checkpoint_of_bark(suno_folder, tmp_path, content):
    source = edited(suno_folder, tmp_path / "source", "fine.pt", lambda _: content)
    refuse(source, tmp_path, "fine.pt is not a checkpoint of Bark")


def test_missing_files_are_all_named(suno_folder, tmp_path):
    source = linked(suno_folder, tmp_path / "source", "fine.pt", CODEC_FILE, "vocab.txt")
    text = refuse(source, tmp_path, "lacks", FileNotFoundError)
    for name in ("fine.pt or fine_2.pt", CODEC_FILE, "vocab.txt (the tokenizer"):
        assert name in text


def test_folder_of_something_else(tmp_path):
    (tmp_path / "source").mkdir()
    refuse(tmp_path / "source", tmp_path, "neither Suno's files", FileNotFoundError)
    refuse(tmp_path / "nowhere", tmp_path, "is not a directory", FileNotFoundError)


def test_vocabulary_of_something_else(suno_folder, tmp_path):
    source = linked(suno_folder, tmp_path / "source", "vocab.txt")
    (source / "vocab.txt").write_text("once\nupon\n")
    refuse(source, tmp_path, "not a WordPiece vocabulary", stages=["fine"])


class Evil:
    """Code that runs when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("is_zip", [True, False])
def test_malicious_pickle_is_refused(suno_folder, tmp_path, is_zip):
    trap = tmp_path / "trap"
    source = linked(suno_folder, tmp_path / "source", "fine.pt")
    content = {"model": {}, "model_args": {}, "extra": Evil(str(trap))}
    if is_zip:
        torch.save(content, source / "fine.pt")
    else:
        (source / "fine.pt").write_bytes(pickle.dumps(content))
    text = refuse(source, tmp_path, "fine.pt is refused: .*could run code")
    assert "weights_only" not in text, "torch advises to load the file all the same"
    assert not trap.exists()


@pytest.mark.parametrize("name", ["fine.pt", CODEC_FILE])
def test_truncated_file(suno_folder, tmp_path, name):
    source = linked(suno_folder, tmp_path / "source", name)
    data = (suno_folder / name).read_bytes()
    (source / name).write_bytes(data[: len(data) // 2])
    refuse(source, tmp_path, f"{name} is damaged", stages=["codec"])


def test_wrong_voice(suno_folder, tmp_path):
    source = linked(suno_folder, tmp_path / "source")
    np.savez(source / "mine.npz", semantic_prompt=np.arange(3))
    np.save(source / "object.npy", np.array([{}], object), allow_pickle=True)
    (source / "object.npy").rename(source / "object.npz")
    text = refuse(source, tmp_path, "voice mine: it lacks coarse_prompt", stages=["fine"])
    assert "voice object: " in text


def test_downloaded_codec_must_have_its_hash(suno_folder, tmp_path):
    match = f"{CODEC_FILE} is not the published file: .*download it again"
    refuse(suno_folder, tmp_path, match, check_hashes=True)


def test_existing_output_is_refused(hf_folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    for overwrite, match in (
        (False, "exists already; --overwrite"),
        (True, "this command did not write what is there"),
    ):
        with pytest.raises(FileExistsError, match=match):
            convert(hf_folder, out, overwrite=overwrite, progress=False)
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_what_is_read_or_not_ours_is_never_replaced(hf_folder, hf_model, tmp_path):
    source = linked(hf_folder, tmp_path / "around" / "source")
    config = (source / "config.json").read_bytes()
    with pytest.raises(ValueError, match=r"holds what is read, .*: choose another place"):
        convert(source, source, overwrite=True, progress=False)
    with pytest.raises(FileExistsError, match="did not write what is there"):
        convert(hf_folder, source, overwrite=True, progress=False)
    shutil.copy(hf_model / "config.json", source.parent)  # a model of ours around the source
    with pytest.raises(ValueError, match="holds what is read"):
        convert(source, source.parent, overwrite=True, progress=False)
    with pytest.raises(ValueError, match="holds what is read"):
        export(hf_model, hf_model, format="hf", overwrite=True)
    with pytest.raises(FileExistsError, match="did not write what is there"):
        export(hf_model, source.parent, format="hf", overwrite=True)
    assert (source / "config.json").read_bytes() == config


def test_unknown_options(hf_folder, tmp_path):
    refuse(hf_folder, tmp_path, r"unknown stages \['vocoder'\]", stages=["vocoder"])
    refuse(hf_folder, tmp_path, "size='huge' is not one of", size="huge")


def test_disk_too_small(hf_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    match = r"is full: .* MB more are needed, 0 MB are free; nothing is left of the unfinished"
    refuse(hf_folder, tmp_path, match, OSError)


@pytest.mark.parametrize(
    "failure",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        ValueError("RESOURCE_EXHAUSTED: Failed to write: No space left on device [os_error=28]"),
    ],
)
def test_disk_that_fills_while_writing(hf_folder, tmp_path, monkeypatch, failure):
    save = checkpoint.save_stage

    def fail(directory, stage, params):
        if stage == "coarse":
            raise failure
        save(directory, stage, params)

    monkeypatch.setattr(convert_module.checkpoint, "save_stage", fail)
    refuse(hf_folder, tmp_path, "No space left on device; nothing is left", OSError)


def test_command_says_it_in_one_line(tmp_path, capsys):
    arguments = ["--source", str(tmp_path / "nowhere"), "--out", str(tmp_path / "model")]
    assert bark_jax_command(["convert", *arguments]) == 1
    assert capsys.readouterr().err == f"bark-jax: {tmp_path / 'nowhere'} is not a directory\n"
