"""Suno's folder: `text.pt coarse.pt fine.pt` (large: `_2`), EnCodec's `.th`, `vocab.txt`, voices.

Source: suno-ai/bark @f4f32d4, bark/generation.py, _load_model and load_codec_model.
"""

import dataclasses
import functools
import math
import numbers
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bark_jax.config import (
    BarkConfig,
    CodecConfig,
    FineGPTConfig,
    GPTConfig,
    TokenLayout,
    from_dict,
    to_dict,
)
from bark_jax.conversion.checkpoint_files import arrays, load_pickled, save_pickled
from bark_jax.conversion.source import Arrays, Source
from bark_jax.conversion.tensors import State
from bark_jax.text import SETTINGS_FILE, VOCAB_FILE, read_text_settings
from bark_jax.voices import read_npz

T = TypeVar("T", bound=GPTConfig)

KINDS = {"semantic": "text", "coarse": "coarse", "fine": "fine"}  # by stage
SUFFIXES = {"small": "", "large": "_2"}
CODEC_FILE = "encodec_24khz-d7cc33bc.th"
CODEC_PATTERN = "encodec_24khz*.th"
VOICE_FOLDERS = ("voices", "speaker_embeddings", "prompts")
LARGE_WIDTH = 1024  # n_embd of the published large models


def is_suno(folder: Path) -> bool:
    """Whether any of Suno's model files is there."""
    names = {f"{kind}{suffix}.pt" for kind in KINDS.values() for suffix in SUFFIXES.values()}
    return any((folder / name).is_file() for name in names)


def open_suno(folder: Path, size: str | None) -> Source:
    """Finds the files of one size (None: of the only one there) and reads the model's config.

    Raises:
      FileNotFoundError: files are missing; all are named.
      ValueError: both sizes are there and `size` is None, or a file is not a checkpoint of Bark.
    """
    paths = _find(folder, size)
    config, details = _read_sizes(paths)

    def read(stage: str) -> State:
        content = load_pickled(paths[stage])
        where = paths[stage].name
        return arrays(content if stage == "codec" else content["model"], where)

    return Source(
        dialect="suno",
        config=config,
        files=list(paths.values()),
        read=read,
        vocab=(folder / VOCAB_FILE).read_bytes(),
        is_lower_case=read_text_settings(folder / SETTINGS_FILE).is_lower_case,
        voices=find_voices(folder),
        details=details,
    )


def _find(folder: Path, size: str | None) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    missing: list[str] = []
    for stage, kind in KINDS.items():
        sizes = SUFFIXES if size is None else {size: SUFFIXES[size]}
        candidates = [folder / f"{kind}{suffix}.pt" for suffix in sizes.values()]
        there = [path for path in candidates if path.is_file()]
        if len(there) > 1:
            raise ValueError(
                f"{folder} holds both sizes of the {stage} model "
                f"({' and '.join(path.name for path in there)}): choose with --size small|large"
            )
        if there:
            paths[stage] = there[0]
        else:
            missing.append(" or ".join(path.name for path in candidates))
    codecs = sorted(folder.glob(CODEC_PATTERN))
    if codecs:
        paths["codec"] = folder / CODEC_FILE if folder / CODEC_FILE in codecs else codecs[0]
    else:
        missing.append(CODEC_FILE)
    if not (folder / VOCAB_FILE).is_file():
        missing.append(f"{VOCAB_FILE} (the tokenizer: that of bert-base-multilingual-cased)")
    if missing:
        raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}")
    return paths


def _read_sizes(paths: Mapping[str, Path]) -> tuple[BarkConfig, dict[str, dict[str, Any]]]:
    sizes: dict[str, Any] = {}
    details: dict[str, dict[str, Any]] = {}
    for stage in KINDS:
        name = paths[stage].name
        content = load_pickled(paths[stage])
        if (
            not isinstance(content, dict)
            or not {"model", "model_args"} <= content.keys()
            or (not isinstance(content["model_args"], dict))
        ):
            raise ValueError(
                f"{name} is not a checkpoint of Bark: it lacks 'model' or 'model_args'"
            )
        make = FineGPTConfig if stage == "fine" else GPTConfig
        sizes[stage] = _config_from_args(make, content["model_args"], name)
        details[stage] = {"file": name} | {
            key: float(value)
            for key, value in (
                ("dropout", content["model_args"].get("dropout")),
                ("best_val_loss", content.get("best_val_loss")),
            )
            if isinstance(value, numbers.Real) and math.isfinite(value)
        }
    details["codec"] = {"file": paths["codec"].name}
    return BarkConfig(**sizes), details


def _config_from_args(make: type[T], args: Mapping[str, Any], where: str) -> T:
    """Sizes from the file, never from the classes' defaults. Dropout is only for training."""
    args = {name: value for name, value in args.items() if name != "dropout"}
    if "input_vocab_size" not in args and "vocab_size" in args:  # from before the two could differ
        args["input_vocab_size"] = args["output_vocab_size"] = args.pop("vocab_size")
    wanted = {field.name for field in dataclasses.fields(make)}
    if absent := wanted - args.keys():
        raise ValueError(f"{where}: model_args lack {', '.join(sorted(absent))}")
    try:
        return from_dict(make, args)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: model_args: {error}") from error


def find_voices(folder: Path) -> dict[str, Callable[[], Arrays]]:
    """Those of a subfolder before those beside the checkpoints; `v2/` belongs to the name."""
    places = [(folder, ("*.npz", "v2/*.npz"))]
    places += [(folder / name, ("*.npz", "*/*.npz")) for name in VOICE_FOLDERS]
    found = {
        path.relative_to(root).with_suffix("").as_posix(): path
        for root, patterns in places
        for pattern in patterns
        for path in root.glob(pattern)
    }
    return {name: functools.partial(read_npz, path) for name, path in sorted(found.items())}


def write_suno(
    folder: Path,
    config: BarkConfig,
    details: Mapping[str, Mapping[str, Any]],
    read: Callable[[str], State],
) -> None:
    """Writes the four tensor files.

    Args:
      details: what `open_suno` kept of the files that the model was converted from.
      read: the tensors of one stage, under Suno's names.
    Raises:
      ValueError: the format has no place for this model's token layout or codec.
    """
    for name, value, only in (
        ("token layout", config.tokens, TokenLayout()),
        ("codec", config.codec, CodecConfig()),
    ):
        if value != only:
            raise ValueError(f"Suno's files cannot tell a {name} that is not Bark's: use hf")
    for stage in KINDS:
        kept = details.get(stage, {})
        name = _file_name(stage, config, kept)
        content = {
            "model": read(stage),
            "model_args": to_dict(getattr(config, stage)) | {"dropout": kept.get("dropout", 0.0)},
            # the original calls .item() on it, so it must be there
            "best_val_loss": np.float64(kept.get("best_val_loss", math.nan)),
        }
        save_pickled(folder / name, content)
    save_pickled(folder / CODEC_FILE, read("codec"))


def _file_name(stage: str, config: BarkConfig, kept: Mapping[str, Any]) -> str:
    """The file name that it was converted from, else one by width: small below `LARGE_WIDTH`."""
    kind = KINDS[stage]
    names = {size: f"{kind}{suffix}.pt" for size, suffix in SUFFIXES.items()}
    size = "large" if getattr(config, stage).n_embd >= LARGE_WIDTH else "small"
    return kept["file"] if kept.get("file") in names.values() else names[size]
