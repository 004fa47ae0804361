"""What all commands have in common."""

import sys
from pathlib import Path

from bark_jax.cli.arguments import Parser

OK, FAILURE = 0, 1  # exit codes, beside `arguments.USAGE_ERROR` and `interrupts.INTERRUPTED`


def check_format(parser: Parser, path: Path, bits: int | None) -> None:
    """Ends the command if no audio file can have this name, or these bits a sample."""
    from bark_jax.audio_files import check_name  # it brings NumPy, for which help need not wait

    try:
        check_name(path, bits)
    except ValueError as error:
        parser.error(f"the output: {error}")


def check_pipe(parser: Parser) -> None:
    """Ends the command if standard output cannot take audio."""
    if sys.stdout is None:
        raise OSError("standard output is closed: name a file with -o")
    if sys.stdout.isatty():
        parser.error("standard output is a terminal: pipe it, or name a file with -o")
