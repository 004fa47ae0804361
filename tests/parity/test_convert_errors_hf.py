"""Bad Hugging Face directories: readable errors, and nothing left behind."""

import importlib.util
import json

import pytest

if importlib.util.find_spec("bark") is None:
    pytest.skip("needs the extra parity", allow_module_level=True)

import torch
from safetensors.torch import load_file, save_file

from tests.parity.sources import linked, refuse


def test_truncated_safetensors(hf_folder, tmp_path):
    source = linked(hf_folder, tmp_path / "source", "model.safetensors")
    data = (hf_folder / "model.safetensors").read_bytes()
    (source / "model.safetensors").write_bytes(data[: len(data) // 2])
    refuse(source, tmp_path, "model.safetensors is damaged")


def test_stray_tensors_of_a_huggingface_file(hf_folder, tmp_path):
    source = linked(hf_folder, tmp_path / "source", "model.safetensors")
    state = load_file(hf_folder / "model.safetensors") | {"vocoder.weight": torch.zeros(3)}
    save_file(state, source / "model.safetensors")
    refuse(source, tmp_path, "vocoder.weight is unexpected", stages=["fine"])


def config_with(hf_folder, tmp_path, change):
    source = linked(hf_folder, tmp_path / "source", "config.json")
    config = json.loads((hf_folder / "config.json").read_text())
    change(config)
    (source / "config.json").write_text(json.dumps(config))
    return source


CONFIG_ERRORS = {
    "another model": (lambda c: c.update(model_type="bert"), "model_type='bert', want 'bark'"),
    "another codec": (
        lambda c: c["codec_config"].update(use_causal_conv=False),
        r"another kind of codec: use_causal_conv=False \(want True\)",
    ),
    "section": (lambda c: c.update(semantic_config=3), "config.json: semantic_config=3, want"),
    "size": (
        lambda c: c["semantic_config"].update(num_heads=5),
        "hidden_size=32 is not a multiple of num_heads=5",
    ),
}


@pytest.mark.parametrize("case", CONFIG_ERRORS)
def test_wrong_huggingface_config(hf_folder, tmp_path, case):
    change, match = CONFIG_ERRORS[case]
    refuse(config_with(hf_folder, tmp_path, change), tmp_path, match)


def test_config_that_is_no_json(hf_folder, tmp_path):
    source = linked(hf_folder, tmp_path / "source", "config.json")
    (source / "config.json").write_text("{")
    refuse(source, tmp_path, "config.json: it is not JSON")


def test_huggingface_without_tokenizer(hf_folder, tmp_path):
    source = linked(hf_folder, tmp_path / "source", "vocab.txt")
    refuse(
        source, tmp_path, "no tokenizer: neither vocab.txt nor tokenizer.json", FileNotFoundError
    )


def test_voices_may_not_lead_out_of_the_folder(hf_folder, tmp_path):
    source = linked(hf_folder, tmp_path / "source", "speaker_embeddings_path.json")
    entry = {key: "../secret.npy" for key in ("semantic_prompt", "coarse_prompt", "fine_prompt")}
    (source / "speaker_embeddings_path.json").write_text(json.dumps({"bad": entry}))
    refuse(source, tmp_path, "'../secret.npy' leads out of")
