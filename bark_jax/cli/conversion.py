"""`bark-jax convert`, `verify` and `export`: checkpoints of others to models of ours, and back.

They run on CPU, so that no memory of an accelerator is taken.
"""

import argparse
from collections.abc import Sequence

from bark_jax.cli.arguments import PROG, Parser, file_path, formats_by_stage
from bark_jax.config import STAGES


def convert(argv: Sequence[str]) -> int:
    """Converts Suno's or Hugging Face's files into a model directory."""
    from bark_jax.conversion.convert import convert as work
    from bark_jax.conversion.suno import SUFFIXES

    parser = Parser(prog=f"{PROG} convert", description=convert.__doc__)
    _add_source(parser, tuple(SUFFIXES))
    parser.add_argument("--out", type=file_path, required=True, help="model directory to make")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES, help="default: all")
    parser.add_argument("--overwrite", action="store_true", help="replace the model at --out")
    parser.add_argument(
        "--check-hashes", action="store_true", help="refuse a codec that is not the published one"
    )
    args = parser.parse_args(argv)
    _use_cpu()
    work(**vars(args))
    return 0


def verify(argv: Sequence[str]) -> int:
    """Compares a converted model with the PyTorch models of its source, stage by stage.

    The exit code is 1 if a stage differs.
    """
    from bark_jax.conversion.suno import SUFFIXES

    parser = Parser(prog=f"{PROG} verify", description=verify.__doc__)
    _add_source(parser, tuple(SUFFIXES))
    parser.add_argument("--model", required=True, help="as for speaking: a directory …")
    parser.add_argument("--seed", type=int, default=0, help="of the random input")
    args = parser.parse_args(argv)
    _use_cpu()
    from bark_jax.conversion.verify import table
    from bark_jax.conversion.verify import verify as work
    from bark_jax.sources.resolve import resolve_model

    comparisons = work(**{**vars(args), "model": resolve_model(args.model)})
    print(table(comparisons))
    return 0 if all(row.is_equal for row in comparisons) else 1


def export(argv: Sequence[str]) -> int:
    """Writes a model directory in Suno's or in Hugging Face's format."""
    from bark_jax.conversion.export import FORMATS
    from bark_jax.conversion.export import export as work

    parser = Parser(prog=f"{PROG} export", description=export.__doc__)
    parser.add_argument("--model", required=True, help="as for speaking: a directory …")
    parser.add_argument("--out", type=file_path, required=True, help="directory to make")
    parser.add_argument("--format", choices=FORMATS, required=True)
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export")
    args = parser.parse_args(argv)
    _use_cpu()
    from bark_jax.sources.resolve import resolve_model

    work(**{**vars(args), "model": resolve_model(args.model)})
    return 0


def quantize(argv: Sequence[str]) -> int:
    """Writes a model directory with weights in fewer bytes: less to load, and quicker to decode."""
    from bark_jax.conversion.quantize import quantize_model

    parser = Parser(prog=f"{PROG} quantize", description=quantize.__doc__)
    parser.add_argument("--model", required=True, help="as for speaking: a directory …")
    parser.add_argument("--out", type=file_path, required=True, help="model directory to make")
    parser.add_argument(
        "--weights", type=formats_by_stage, default="int8", help="as for speaking; default: int8"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the model at --out")
    args = parser.parse_args(argv)
    _use_cpu()
    from bark_jax.sources.resolve import resolve_model

    quantize_model(**{**vars(args), "model": resolve_model(args.model)})
    return 0


def _add_source(parser: argparse.ArgumentParser, sizes: Sequence[str]) -> None:
    parser.add_argument(
        "--source", type=file_path, required=True, help="folder with the source's files"
    )
    parser.add_argument("--size", choices=sizes, help="where both sizes of Suno's files are")


def _use_cpu() -> None:
    import jax

    jax.config.update("jax_platforms", "cpu")
