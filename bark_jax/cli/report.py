"""`bark-jax report DIR`: the results of a sweep as a page to look at and listen to."""

from collections.abc import Sequence
from pathlib import Path

from bark_jax.cli.arguments import PROG, Parser


def main(argv: Sequence[str]) -> int:
    """Makes the report and prints where it is."""
    parser = Parser(prog=f"{PROG} report", description=__doc__)
    parser.add_argument("directory", metavar="DIR", help="folder of a sweep (hydra.sweep.dir)")
    parser.add_argument("--out", metavar="FOLDER", help="of the report; default: DIR/report")
    args = parser.parse_args(argv)
    from bark_jax.report.build import build

    print(build(Path(args.directory), args.out and Path(args.out)))
    return 0
