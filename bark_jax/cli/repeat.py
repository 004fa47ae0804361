"""`bark-jax repeat FILE -o AGAIN`: the same audio once more, from what FILE says."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from bark_jax.cli.arguments import PROG, Parser, by_stage, file_path
from bark_jax.cli.conventions import FAILURE, OK, check_format
from bark_jax.cli.model import find_model, load_model
from bark_jax.runtime.files import check_writable, make_folder


def main(argv: Sequence[str]) -> int:
    """Makes it, and says what differs; the exit code is 1 if samples do."""
    parser = Parser(prog=f"{PROG} repeat", description=__doc__)
    add = parser.add_argument
    add("file", metavar="FILE", type=file_path, help="audio that bark-jax wrote")
    add(
        "-o",
        "--output",
        metavar="AGAIN",
        type=file_path,
        required=True,
        help="of any of the formats",
    )
    add("--model", type=by_stage, help="in place of the one that the file names")
    add("-v", "--voice", help="in place of the one that the file names")
    add("--offline", action="store_true", help="use only what is on this machine")
    add("-q", "--quiet", action="store_true", help="print only warnings and errors")
    args = parser.parse_args(argv)
    path, out = args.file, args.output
    check_format(parser, out, None)
    make_folder(out.parent)
    check_writable(out)
    if out.exists() and path.exists() and out.samefile(path):
        parser.error("AGAIN is FILE itself")
    from bark_jax.repeating import repeat

    def load(model: Any, revision: str | None, dtype: str | None, weights: Any) -> Any:
        named = {"semantic": model} if isinstance(model, str) else model
        options = argparse.Namespace(
            model=named,
            revision=revision,
            dtype=dtype,
            weights=weights,
            voice=None,
            offline=args.offline,
            quiet=args.quiet,
            offload=False,
            debug=False,
            check_hashes=True,
        )
        return load_model(options, find_model(options))

    made = repeat(path, out, load, model=args.model, voice=args.voice, progress=not args.quiet)
    for difference in made.differences:
        print(f"{PROG}: {difference}", file=sys.stderr)
    if not args.quiet:
        same = {True: "the same samples", False: "other samples", None: "in another format"}
        print(f"{out}: {made.duration_s:.2f} s of audio, {same[made.is_equal]}", file=sys.stderr)
    return FAILURE if made.is_equal is False else OK
