"""`bark-jax report DIR`: the results of a sweep as a page to look at and listen to."""

from collections.abc import Sequence

from bark_jax.cli.arguments import PROG, Parser, file_path


def main(argv: Sequence[str]) -> int:
    """Makes the report and prints where it is."""
    parser = Parser(prog=f"{PROG} report", description=__doc__)
    parser.add_argument(
        "directory", metavar="DIR", type=file_path, help="folder of a sweep (hydra.sweep.dir)"
    )
    parser.add_argument(
        "--out", metavar="FOLDER", type=file_path, help="of the report; default: DIR/report"
    )
    args = parser.parse_args(argv)
    from bark_jax.report.build import build

    print(build(args.directory, args.out))
    return 0
