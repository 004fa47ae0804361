"""A Hugging Face directory of Bark: configs, weights in one file or in shards, tokenizer, voices.

Source: huggingface/transformers v5.23, models/bark and models/encodec (configuration files).
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import tokenizers

from bark_jax.config import BarkConfig
from bark_jax.conversion.checkpoint_files import (
    arrays,
    load_pickled,
    load_safetensors,
    safetensors_names,
    save_safetensors,
)
from bark_jax.conversion.huggingface_config import config_from_json, config_to_json
from bark_jax.conversion.rules import HEAD, parametrized
from bark_jax.conversion.source import Arrays, Source
from bark_jax.conversion.tensors import State
from bark_jax.runtime.files import read_json
from bark_jax.sampling_config import SamplingConfig
from bark_jax.text import SETTINGS_FILE, VOCAB_FILE, read_text_settings
from bark_jax.voices import KEYS, read_npy

PREFIXES = {
    "semantic": "semantic.",
    "coarse": "coarse_acoustics.",
    "fine": "fine_acoustics.",
    "codec": "codec_model.",
}
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # safetensors first: nothing to execute
CONFIG, GENERATION_CONFIG = "config.json", "generation_config.json"
VOICE_INDEX, VOICE_FOLDER = "speaker_embeddings_path.json", "speaker_embeddings"


def is_huggingface(folder: Path) -> bool:
    """Whether the folder has weights and their config."""
    weights = [folder / name for name in (*WEIGHTS, *(f"{name}.index.json" for name in WEIGHTS))]
    return (folder / CONFIG).is_file() and any(path.is_file() for path in weights)


def open_huggingface(folder: Path) -> Source:
    """Reads the configs, and the tensor names in the weight files.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a file is damaged, or describes something that is not Bark.
    """
    config = config_from_json(
        read_json(folder / CONFIG),
        read_json(folder / GENERATION_CONFIG) if (folder / GENERATION_CONFIG).is_file() else {},
    )
    where = _find_tensors(folder)
    strays = [name for name in where if not name.startswith(tuple(PREFIXES.values()))]

    def read(stage: str) -> State:
        prefix = PREFIXES[stage]
        state: dict[str, np.ndarray] = {}
        for path in dict.fromkeys(where.values()):
            names = [n for n, p in where.items() if p == path and n.startswith(prefix)]
            state |= {name.removeprefix(prefix): value for name, value in _read(path, names)}
        return state

    return Source(
        dialect="hf",
        config=config,
        files=list(dict.fromkeys(where.values())),
        read=read,
        vocab=_read_vocab(folder),
        is_lower_case=read_text_settings(folder / SETTINGS_FILE).is_lower_case,
        voices=_find_voices(folder),
        details={},
        errors=[f"{name} is unexpected" for name in strays],
    )


def weight_map(index: Path) -> dict[str, str]:
    """Which file holds which tensor, as the index of a model in shards says.

    Raises:
      ValueError: it says something else.
    """
    found = read_json(index).get("weight_map")
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        raise ValueError(f"{index}: weight_map is no table of tensors and files")
    return found


def _find_tensors(folder: Path) -> dict[str, Path]:
    """Which file holds which tensor."""
    for name in WEIGHTS:
        if (path := folder / name).is_file():
            if path.suffix == ".safetensors":
                return dict.fromkeys(safetensors_names(path), path)
            return dict.fromkeys(arrays(load_pickled(path), name), path)
        if (index := folder / f"{name}.index.json").is_file():
            found = {tensor: _inside(folder, file) for tensor, file in weight_map(index).items()}
            if missing := sorted({str(p) for p in found.values() if not p.is_file()}):
                raise FileNotFoundError(
                    f"{len(missing)} of {len(set(found.values()))} files that {index} names are "
                    f"missing: {', '.join(missing)}"
                )
            return found
    raise FileNotFoundError(f"{folder} lacks {' or '.join(WEIGHTS)}")


def _read(path: Path, names: list[str]) -> list[tuple[str, np.ndarray]]:
    if path.suffix == ".safetensors":
        return list(load_safetensors(path, names).items())
    state = arrays(load_pickled(path), path.name)
    return [(name, state[name]) for name in names]


def _inside(folder: Path, name: str) -> Path:
    """A file that an index names; links may lead out of the folder (the hub's cache has them)."""
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise ValueError(f"{name!r} leads out of {folder}")
    return folder / relative


def _read_vocab(folder: Path) -> bytes:
    """The content of `vocab.txt`, or the same made from `tokenizer.json`."""
    if (path := folder / VOCAB_FILE).is_file():
        return path.read_bytes()
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no tokenizer: neither {VOCAB_FILE} nor {path.name}")
    model = read_json(path).get("model", {})
    vocab = model.get("vocab", {})
    if model.get("type", "WordPiece") != "WordPiece" or not isinstance(vocab, dict):
        raise ValueError(f"{path} holds no WordPiece vocabulary but {model.get('type')}")
    pieces = sorted(vocab, key=vocab.__getitem__)
    if [vocab[piece] for piece in pieces] != list(range(len(pieces))):
        raise ValueError(f"{path}: the ids of its vocabulary have gaps")
    return "".join(f"{piece}\n" for piece in pieces).encode()


def _find_voices(folder: Path) -> dict[str, Callable[[], Arrays]]:
    """Voices whose files are all there: often only some were downloaded."""
    if not (folder / VOICE_INDEX).is_file():
        return {}
    voices: dict[str, Callable[[], Arrays]] = {}
    for name, entry in read_json(folder / VOICE_INDEX).items():
        if not isinstance(entry, Mapping):  # "repo_or_path"
            continue
        _inside(folder, name)
        paths = {key: _inside(folder, str(entry.get(key, f"no {key}"))) for key in KEYS}
        if all(path.is_file() for path in paths.values()):
            voices[name] = _loader(paths)
    return voices


def _loader(paths: Mapping[str, Path]) -> Callable[[], Arrays]:
    return lambda: {key: read_npy(path) for key, path in paths.items()}


def write_huggingface(
    folder: Path,
    config: BarkConfig,
    vocab: Path,
    voices: Mapping[str, Callable[[], Arrays]],
    read: Callable[[str], State],
    sampling: SamplingConfig,
) -> None:
    """Writes what `transformers.BarkModel` and `BarkProcessor` load with `from_pretrained`.

    Args:
      vocab: the file `vocab.txt`.
      read: the tensors of one stage, under Hugging Face's names.
      sampling: as in `config_to_json`.
    Raises:
      ValueError: as in `config_to_json`.
    """
    content, generation = config_to_json(config, sampling)
    state: dict[str, np.ndarray] = {}
    for stage, prefix in PREFIXES.items():
        state |= {
            prefix + parametrized(name): value
            for name, value in read(stage).items()
            if not HEAD.fullmatch(name)  # tied: transformers itself leaves them out
        }
        state |= {prefix + name: value for name, value in causal_masks(stage, config).items()}
    save_safetensors(folder / WEIGHTS[0], state)
    content["dtype"] = str(state["semantic.lm_head.weight"].dtype)
    _write_json(folder / CONFIG, content)
    _write_json(folder / GENERATION_CONFIG, generation)
    _write_tokenizer(folder, vocab)
    _write_voices(folder, voices)


def causal_masks(stage: str, config: BarkConfig) -> dict[str, np.ndarray]:
    """The causal models' mask buffers, which transformers reports missing if a file lacks them."""
    if stage not in ("semantic", "coarse"):
        return {}
    size = getattr(config, stage)
    mask = np.tril(np.ones((1, 1, size.block_size, size.block_size), bool))
    return {f"layers.{i}.attn.bias": mask for i in range(size.n_layer)}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _write_tokenizer(folder: Path, vocab: Path) -> None:
    is_lower_case = read_text_settings(vocab.with_name(SETTINGS_FILE)).is_lower_case
    wordpiece = tokenizers.BertWordPieceTokenizer.from_file(
        str(vocab), lowercase=is_lower_case, strip_accents=False
    )
    (folder / VOCAB_FILE).write_bytes(vocab.read_bytes())
    wordpiece.save(str(folder / "tokenizer.json"))
    _write_json(
        folder / SETTINGS_FILE,
        {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": is_lower_case,
            "strip_accents": False,
            "tokenize_chinese_chars": True,
            **{
                f"{name}_token": f"[{name.upper()}]"
                for name in ("unk", "sep", "pad", "cls", "mask")
            },
        },
    )


def _write_voices(folder: Path, voices: Mapping[str, Callable[[], Arrays]]) -> None:
    index: dict[str, Any] = {"repo_or_path": "."}
    for name, load in voices.items():
        index[name] = {}
        for key, array in load().items():
            path = PurePosixPath(VOICE_FOLDER) / f"{name}_{key}.npy"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            np.save(folder / path, array, allow_pickle=False)
            index[name][key] = str(path)
    _write_json(folder / VOICE_INDEX, index)
