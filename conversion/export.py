"""Writes a model directory of bark_jax in Suno's or in Hugging Face's format.

Run: python -m conversion.export --model MODEL --out DIR --format suno|hf
"""

import argparse
import shutil
from pathlib import Path
from typing import get_args

from tqdm import tqdm

from bark_jax import checkpoint
from bark_jax.text import SETTINGS_FILE, VOCAB_FILE
from conversion.command import run
from conversion.directory import complete_directory
from conversion.huggingface import CONFIG, write_huggingface
from conversion.rules import Dialect
from conversion.suno import find_voices, write_suno
from conversion.tensors import State, write_tensors

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
      FileExistsError: `out` exists.
      ValueError: the model is damaged, or the format has no place for something in it.
      OSError: the disk is full; nothing is left behind.
    """
    model, out = Path(model), Path(out)
    if format not in FORMATS:
        raise ValueError(f"format={format!r} is not one of {FORMATS}")
    config = checkpoint.load_config(model)
    vocab = model / "tokenizer" / VOCAB_FILE
    if not vocab.is_file():
        raise FileNotFoundError(f"{model} has no tokenizer: {vocab} is missing")
    marker = CONFIG if format == "hf" else VOCAB_FILE
    with (
        complete_directory(out, overwrite=overwrite, marker=marker) as made,
        tqdm(total=4, disable=None if progress else True) as bar,
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
            write_huggingface(made, config, vocab, find_voices(model), read)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m conversion.export", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model directory of bark_jax")
    parser.add_argument("--out", type=Path, required=True, help="directory to make")
    parser.add_argument("--format", choices=FORMATS, required=True)
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export")
    export(**vars(parser.parse_args()))


if __name__ == "__main__":
    run(main)
