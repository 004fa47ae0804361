"""Writes a model directory of bark_jax in Suno's or in Hugging Face's format."""

import shutil
from pathlib import Path
from typing import get_args

from bark_jax import checkpoint
from bark_jax.config import BarkConfig
from bark_jax.conversion.directory import complete_directory
from bark_jax.conversion.huggingface import is_huggingface, write_huggingface
from bark_jax.conversion.rules import Dialect
from bark_jax.conversion.suno import find_voices, is_suno, write_suno
from bark_jax.conversion.tensors import State, write_tensors
from bark_jax.runtime.progress import tqdm_bar
from bark_jax.sampling_config import BARK
from bark_jax.text import SETTINGS_FILE, VOCAB_FILE, Tokenizer

FORMATS = tuple(dialect for dialect in get_args(Dialect) if dialect != "ours")


def export(
    model: str | Path,
    out: str | Path,
    *,
    format: Dialect,
    progress: bool = True,
    overwrite: bool = False,
) -> None:
    """Writes the files that the original, or transformers, loads.

    Args:
      model: a model directory of ours.
      format: "suno" (`.pt` files, EnCodec's `.th`, `vocab.txt`, `voices/`) or "hf" (a directory
        for `BarkModel.from_pretrained` and `BarkProcessor.from_pretrained`).
      progress: show a bar on stderr if that is a terminal.
      overwrite: replace `out` if it is an earlier export.
    Raises:
      FileNotFoundError: `model` is not a model, or lacks a stage or the vocabulary.
      FileExistsError: `out` exists, or is not an export in this format.
      ValueError: the model is damaged, or the format has no place for something in it.
      OSError: the disk is full; nothing is left behind.
    """
    model, out = Path(model), Path(out)
    if format not in FORMATS:
        raise ValueError(f"format={format!r} is not one of {FORMATS}")
    config, sampling = checkpoint.load_config(model), checkpoint.load_sampling(model)
    vocab = model / "tokenizer" / VOCAB_FILE
    if not vocab.is_file():
        raise FileNotFoundError(f"{model} has no tokenizer: {vocab} is missing")
    _check_has_place(config, Tokenizer.from_directory(vocab.parent), format)
    is_ours = is_huggingface if format == "hf" else is_suno
    with (
        complete_directory(out, source=model, overwrite=overwrite, is_ours=is_ours) as made,
        tqdm_bar(total=4, disable=None if progress else True) as bar,
    ):

        def read(stage: str) -> State:
            bar.set_description(stage)
            params = checkpoint.load_stage(model, stage)
            bar.update()
            return write_tensors(params, stage, config, format)

        if format == "suno":
            details = checkpoint.load_source(model).get("stages", {})
            write_suno(made, config, details, read)
            for file in (vocab, vocab.with_name(SETTINGS_FILE)):
                if file.is_file():
                    shutil.copy(file, made / file.name)
            if (model / "voices").is_dir():
                shutil.copytree(model / "voices", made / "voices")
        else:
            write_huggingface(made, config, vocab, find_voices(model), read, sampling.over(BARK))
        checkpoint.copy_sampling(model, made)  # which `convert` reads again


def _check_has_place(config: BarkConfig, tokenizer: Tokenizer, format: str) -> None:
    """Raises ValueError for what no program that reads the format would know how to use."""
    if config.codec.kind != "seanet":
        raise ValueError(
            f"the model has codec.kind={config.codec.kind!r}; the {format} format has a place for "
            "'seanet' alone"
        )
    if tokenizer.settings.spells_out or tokenizer.lexicon:
        raise ValueError(
            f"the model's tokenizer spells numbers out or has a lexicon; the {format} format has "
            "a place for neither"
        )
