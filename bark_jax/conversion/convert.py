"""Converts Suno's or Hugging Face's files into a model directory of bark_jax."""

import hashlib
import re
import zipfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from bark_jax import checkpoint
from bark_jax.config import STAGES
from bark_jax.conversion.directory import complete_directory, require_space
from bark_jax.conversion.huggingface import is_huggingface, open_huggingface
from bark_jax.conversion.source import Source
from bark_jax.conversion.suno import SUFFIXES, is_suno, open_suno
from bark_jax.conversion.tensors import read_params
from bark_jax.model_card import write_card
from bark_jax.params import flatten
from bark_jax.runtime.notices import warn
from bark_jax.runtime.progress import tqdm_bar
from bark_jax.text import SETTINGS_FILE, VOCAB_FILE, TextSettings, Tokenizer, write_text_settings
from bark_jax.voices import Voice, save_voice

HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.th")  # as torch.hub names its downloads
BLOCK_BYTES = 1 << 20


def convert(
    source: str | Path,
    out: str | Path,
    *,
    size: str | None = None,
    stages: Collection[str] = STAGES,
    progress: bool = True,
    overwrite: bool = False,
    check_hashes: bool = False,
) -> None:
    """Converts a folder of Suno's files, or a Hugging Face directory, into a model directory.

    One stage after the other, from memory-mapped files: peak memory is that of the largest stage.

    Args:
      size: "small" or "large", for a folder that holds Suno's files in both sizes.
      stages: those to write. The sizes of all others are recorded too, so all files must be there.
      progress: show a bar on stderr if that is a terminal.
      overwrite: replace `out` if it is a model.
      check_hashes: refuse a file whose SHA-256 does not fit the hash in its name; False only warns.
    Raises:
      FileNotFoundError: files are missing; all are named.
      FileExistsError: `out` exists, or is not a model.
      ValueError: the files are not a valid model; all problems are named.
      OSError: the disk is full; nothing is left behind.
    """
    source, out = Path(source), Path(out)
    if unknown := set(stages) - set(STAGES):
        raise ValueError(f"unknown stages {sorted(unknown)}; want some of {STAGES}")
    opened = open_source(source, size)
    with complete_directory(
        out, source=source, overwrite=overwrite, is_ours=checkpoint.is_model
    ) as made:
        # what is small comes first: its faults need not wait for gigabytes
        checkpoint.copy_sampling(source, made)
        _write_tokenizer(opened, made / "tokenizer")
        errors = [*_write_voices(opened, made / "voices"), *opened.errors]
        n_bytes = sum(path.stat().st_size for path in opened.files)
        with tqdm_bar(
            total=2 * n_bytes, unit="B", unit_scale=True, disable=None if progress else True
        ) as bar:
            hashes = {path.name: _hash(path, bar) for path in opened.files}
            _check_hashes(hashes, check_hashes)
            for stage in (stage for stage in STAGES if stage in stages):
                bar.set_description(stage)
                errors += _write_stage(opened, stage, made, is_valid=not errors)
                bar.update(n_bytes // len(stages))
        if errors:
            raise ValueError(f"{source} makes no model: {listed(errors)}")
        record = {"format": opened.dialect, "sha256": hashes, "stages": dict(opened.details)}
        write_card(made, opened.config, record)
        checkpoint.save_config(made, opened.config, record)


def listed(errors: Sequence[str], most: int = 20) -> str:
    """The first errors, and how many more there are."""
    more = f"; and {len(errors) - most} more" if len(errors) > most else ""
    return "; ".join(errors[:most]) + more


def open_source(folder: Path, size: str | None = None) -> Source:
    """Opens a folder in either format. If it holds both, `size` selects Suno's files.

    Raises:
      FileNotFoundError: it is not a folder, or holds neither format completely.
      ValueError: an unknown `size`, or the files do not describe a Bark model.
    """
    if size not in (None, *SUFFIXES):
        raise ValueError(f"size={size!r} is not one of {tuple(SUFFIXES)}")
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a directory")
    if is_huggingface(folder) and (size is None or not is_suno(folder)):
        return open_huggingface(folder)
    if is_suno(folder):
        return open_suno(folder, size)
    raise FileNotFoundError(
        f"{folder} holds neither Suno's files (text.pt, coarse.pt, fine.pt, or the same with _2) "
        "nor a Hugging Face model (config.json with model.safetensors or pytorch_model.bin)"
    )


def _write_stage(source: Source, stage: str, folder: Path, *, is_valid: bool) -> list[str]:
    """Writes one stage, unless it or an earlier one has errors, which are returned."""
    params, errors = read_params(source.read(stage), stage, source.config, source.dialect)
    if is_valid and not errors:
        require_space(folder, sum(leaf.nbytes for leaf in flatten(params).values()))
        checkpoint.save_stage(folder, stage, params)
    return [f"{stage}: {error}" for error in errors]


def _write_tokenizer(source: Source, folder: Path) -> None:
    folder.mkdir()
    (folder / VOCAB_FILE).write_bytes(source.vocab)
    if source.is_lower_case:
        write_text_settings(folder / SETTINGS_FILE, TextSettings(is_lower_case=True))
    Tokenizer.from_directory(folder)  # raises if it is not one


def _write_voices(source: Source, folder: Path) -> list[str]:
    """Writes the voices as they are; errors are returned."""
    errors: list[str] = []
    for name, load in source.voices.items():
        try:
            voice = load()
            Voice.from_arrays(voice, source.config.tokens, name="it")
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            errors.append(f"voice {name}: {error}")
            continue
        path = folder / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_voice(path, voice["semantic_prompt"], voice["coarse_prompt"], voice["fine_prompt"])
    return errors


def _hash(path: Path, bar: tqdm) -> str:
    """SHA-256 of a file."""
    bar.set_description(path.name)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()


def _check_hashes(hashes: Mapping[str, str], is_strict: bool) -> None:
    for name, found in hashes.items():
        match = HASH_IN_NAME.search(name)
        if match and not found.startswith(match[1]):
            message = f"{name} is not the published file: its SHA-256 begins with {found[:8]}"
            if is_strict:
                raise ValueError(f"{message}; delete it and download it again")
            warn(f"{message}; it is used all the same")
