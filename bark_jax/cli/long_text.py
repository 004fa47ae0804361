"""`bark-jax --long FILE`: a text of any length to one audio file and its manifest."""

import argparse
import secrets
import sys
import time
from pathlib import Path
from typing import Any

from bark_jax.audio_files import check_name
from bark_jax.cli.arguments import PIPE, Parser
from bark_jax.cli.conventions import OK, check_format
from bark_jax.cli.model import find_model, load_model, local_mesh
from bark_jax.long.manifest import BEGUN, manifest_path, read_manifest
from bark_jax.long.reading import Document, read_document
from bark_jax.runtime.files import check_writable, make_folder
from bark_jax.runtime.lines import decode


def speak_long(parser: Parser, args: argparse.Namespace) -> int:
    """Speaks the file, or goes on with it."""
    if args.texts or args.batch_file:
        parser.error("--long takes no TEXT and no --batch-file")
    if args.output_full or args.save_voice:
        parser.error("--long writes no voice: make one of a single text with --save-voice")
    if args.output == PIPE:
        parser.error("--long writes files: name one with -o")
    if args.notebook and args.long_settings:
        parser.error("--notebook is a whole set of settings: leave the others out")
    path = Path(args.output_dir, args.output).expanduser()
    check_format(parser, path, args.bits)
    make_folder(path.parent)
    for file in (path, manifest_path(path)):
        check_writable(file)
    document = _read(args.long)
    model = find_model(args)
    begin = time.perf_counter()
    made = load_model(args, model, local_mesh()).generate_long(
        document,
        voice=args.voice,
        voices=args.voices,
        seed=_seed_of(path) if args.seed is None else args.seed,
        sampling=args.sampling,
        settings="notebook" if args.notebook else args.long_settings,
        path=check_name(path),
        bits=args.bits,
        batch_rows=args.batch_size,
        progress=not args.quiet,
    )
    if not args.quiet:
        took_s = time.perf_counter() - begin
        print(f"{path}: {summary(made.manifest)}, in {took_s:.1f} s", file=sys.stderr)
    return OK


def _read(name: str) -> Document:
    if name == PIPE:
        return Document(decode(sys.stdin.buffer.read(), "standard input"))
    return read_document(Path(name).expanduser())


def _seed_of(path: Path) -> int:
    """That of a run that was interrupted, or a new one."""
    found = read_manifest(manifest_path(path))
    return found["seed"] if found and found["status"] == BEGUN else secrets.randbits(32)


def summary(manifest: dict[str, Any]) -> str:
    """A long text in a line."""
    pieces = manifest["pieces"]
    n_again = sum(len(piece["tries"]) - 1 for piece in pieces)
    n_faulty = sum(bool(piece["tries"][piece["chosen"]]["faults"]) for piece in pieces)
    words = f"{manifest['duration_s']:.2f} s of audio in {len(pieces)} piece"
    words += "s" if len(pieces) != 1 else ""
    words += f", seed {manifest['seed']}"
    words += f", {n_again} tried again" if n_again else ""
    return words + (f", {n_faulty} with faults left" if n_faulty else "")
