"""Which file of a Hugging Face directory holds which tensor."""

import json

import pytest

from bark_jax.conversion.huggingface import _find_tensors


def test_all_missing_shards_are_named_at_once(tmp_path):
    shards = {f"tensor{i}": f"model-{i:05d}-of-00003.safetensors" for i in range(3)}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": shards}))
    (tmp_path / shards["tensor1"]).write_bytes(b"x")
    message = r"2 of 3 files .* missing: .*model-00000-of-00003\S+, .*model-00002-of-00003"
    with pytest.raises(FileNotFoundError, match=message):
        _find_tensors(tmp_path)
