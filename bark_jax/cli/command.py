"""The command line: `bark-jax "text" -o out.wav`, also as `python -m bark_jax`.

jax is imported only once it is needed, so that help and usage errors come at once.
"""

import argparse
import dataclasses
import difflib
import gc
import os
import secrets
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bark_jax.cli.arguments import JUDGE, PIPE, PROG, Parser, make_parser, parse
from bark_jax.cli.conventions import FAILURE, OK, check_format, check_pipe
from bark_jax.cli.model import find_model, load_model, local_mesh
from bark_jax.cli.subcommands import SUBCOMMANDS
from bark_jax.long.reading import MARKDOWN, SUBTITLES
from bark_jax.programs.errors import FULL_ERROR, in_one_line
from bark_jax.runtime.files import check_writable, make_folder
from bark_jax.runtime.interrupts import INTERRUPTED, end_at_once_the_second_time
from bark_jax.runtime.lines import decode, lines_of
from bark_jax.runtime.notices import warn, warnings_in_one_line

if TYPE_CHECKING:
    from bark_jax.generation import Generation
    from bark_jax.pipeline import Bark

ENDS = {
    "eos": "ended by itself",
    "max_duration": "cut off at --max-duration",
    "max_tokens": "cut off at the greatest length",
}
# Importing and loading make half a million objects that stay. Python would look for garbage among
# them after every 700, which takes a tenth of the time to the first audio.
OBJECTS_BETWEEN_COLLECTIONS = 50_000
DEBUG = "--debug"  # shows the traceback of an error


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code, or exits with 2 for wrong usage."""
    argv = list(sys.argv[1:] if argv is None else argv)
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    end_at_once_the_second_time()
    try:
        with warnings_in_one_line(PROG):
            code = run(argv)
        if sys.stdout is not None:  # as where a shell has closed it (>&-)
            sys.stdout.flush()  # here, where a closed pipe is still caught
        return code
    except KeyboardInterrupt:
        print(f"{PROG}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the pipe is closed: nothing may be flushed to it at exit
        if sys.stdout is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except Exception as error:
        if DEBUG in argv or os.environ.get(FULL_ERROR) == "1":
            traceback.print_exc()
        else:
            print(f"{PROG}: {in_one_line(error)}", file=sys.stderr)
        return FAILURE


def run(argv: Sequence[str]) -> int:
    """Runs the command; errors pass through."""
    if argv and argv[0] in SUBCOMMANDS:
        rest = [word for word in argv[1:] if word != DEBUG]
        if DEBUG in argv:
            os.environ[FULL_ERROR] = "1"
        return SUBCOMMANDS[argv[0]].run(rest) or OK
    parser = make_parser()
    if meant := misspelt_subcommand(argv):
        parser.error(f"{argv[0]!r}: did you mean {PROG} {meant}? To speak it: --text {argv[0]}")
    args = parse(parser, argv)
    if args.list_voices:
        return list_voices(args)
    if not args.stream and (args.low_latency or args.format != "wav"):
        parser.error("--low-latency and --format go with --stream")
    if args.best_of and (args.stream or args.long or args.batch_file):
        parser.error("--best-of goes with neither --stream nor --long nor --batch-file")
    if args.by and not (args.best_of or args.long):
        parser.error("--by goes with --best-of or --long")
    if args.stream:
        from bark_jax.cli.stream import speak_stream

        return speak_stream(parser, args)
    if args.long:
        from bark_jax.cli.long_text import speak_long

        return speak_long(parser, args)
    return speak_file(parser, args) if args.batch_file else speak(parser, args)


def misspelt_subcommand(argv: Sequence[str]) -> str | None:
    """The subcommand that the first word all but is, unless sentences stand there."""
    are_words = bool(argv) and not any(" " in word for word in argv[:2])
    # at 0.8 "sleep" would be taken for "sweep"
    found = difflib.get_close_matches(argv[0], SUBCOMMANDS, n=1, cutoff=0.82) if are_words else []
    return found[0] if found else None


def speak(parser: Parser, args: argparse.Namespace) -> int:
    """Generates every text of the command and writes the files."""
    texts = list(read_texts(args.texts))
    targets = plan_targets(parser, args, len(texts))
    from bark_jax.text import checked_text

    for text in texts:
        checked_text(text)
        if text.endswith((".txt", *MARKDOWN, *SUBTITLES)) and os.path.isfile(text):
            warn(f"{text} is a file, and its name is spoken; --long {text} speaks what it holds")
    if args.best_of:
        from bark_jax.evaluation.judges import check_judge

        check_judge(args.by or JUDGE)
    bark = load_model(args, find_model(args))
    audio_s, begin = 0.0, time.perf_counter()
    for row, result, note in generate(bark, texts, args):
        report = write(result, targets[row]) + note
        audio_s += result.duration_s
        if not args.quiet:
            print(report, file=sys.stderr)
    if not args.quiet:
        took_s = time.perf_counter() - begin
        factor = f"real-time factor {took_s / audio_s:.2f}, " if audio_s else ""
        times = f"{audio_s:.2f} s of audio in {took_s:.2f} s"
        print(f"{times} ({factor}loading and compiling included)", file=sys.stderr)
    return OK


def speak_file(parser: Parser, args: argparse.Namespace) -> int:
    """Generates every line of a file; a line that cannot be spoken makes the exit code 1."""
    if args.texts or not args.out_dir:
        parser.error("--batch-file takes no TEXT and needs --out-dir")
    from bark_jax.batch_files import read_lines, speak_lines
    from bark_jax.sampling_config import SamplingConfig

    lines = read_lines(
        Path(args.batch_file).expanduser(),
        voice=args.voice,
        seed=args.seed or 0,
        sampling=SamplingConfig.of(args.sampling),
    )
    out_dir = Path(args.out_dir).expanduser()
    make_folder(out_dir)
    check_writable(out_dir / "results.jsonl")
    model = find_model(args)
    outcome = speak_lines(
        load_model(args, model, local_mesh()),
        lines,
        out_dir,
        model=f"{sorted(args.model.items())} {args.revision} {args.dtype}"
        + (f" {sorted(args.weights.items())}" if args.weights else ""),
        batch_rows=args.batch_size,
        part=args.part,
        progress=not args.quiet,
    )
    for error in outcome.errors:
        print(f"{PROG}: {error}", file=sys.stderr)
    if not args.quiet:
        rate = outcome.audio_s / outcome.wall_s
        print(
            f"{outcome.n_made} lines made, {outcome.n_skipped} there already, "
            f"{len(outcome.errors)} failed; {outcome.audio_s:.1f} s of audio in "
            f"{outcome.wall_s:.1f} s ({rate:.2f} a second)",
            file=sys.stderr,
        )
    return FAILURE if outcome.errors else OK


def read_texts(texts: Sequence[str]) -> Iterator[str]:
    """The texts, with the lines of standard input in place of "-"; empty lines are skipped."""
    for text in texts:
        if text == PIPE:
            lines = lines_of(decode(sys.stdin.buffer.read(), "standard input"))
            yield from (line for line in map(str.strip, lines) if line)
        else:
            yield text


@dataclasses.dataclass(frozen=True)
class Target:
    """Where one text's audio and tokens go."""

    wav: Path | None  # None is standard output
    voices: tuple[Path, ...]
    bits: int | None


def plan_targets(parser: Parser, args: argparse.Namespace, n_texts: int) -> list[Target]:
    """Checks all that can be checked before the work begins, and makes the folders."""
    if not n_texts:
        parser.error(
            "standard input holds no text" if PIPE in args.texts else
            f'no text: {PROG} "Hello." -o hello.wav, or "-" to read standard input'
        )  # fmt: skip
    wav = Path(args.output_dir, args.output).expanduser()
    if args.output == PIPE:
        if n_texts > 1:
            parser.error(f"{n_texts} texts do not fit into one pipe: name a file with -o")
        if args.output_full:
            parser.error("--output-full needs a file name: use --save-voice, or -o FILE")
        check_pipe(parser)
        wav = None
    else:
        check_format(parser, wav, args.bits)
    voices = [wav.with_suffix(".npz")] if wav and args.output_full else []
    voices += [Path(args.save_voice).expanduser()] if args.save_voice else []
    for file in filter(None, (wav, *voices)):
        make_folder(file.parent)
    targets = [
        Target(
            wav and numbered(wav, i, n_texts),
            tuple(numbered(v, i, n_texts) for v in voices),
            args.bits,
        )
        for i in range(n_texts)
    ]
    last = targets[-1]  # whose names are the longest
    for file in filter(None, (last.wav, *last.voices)):
        check_writable(file)
    return targets


def numbered(file: Path, index: int, n_texts: int) -> Path:
    """out.wav; in a batch out_000.wav, out_001.wav …"""
    if n_texts == 1:
        return file
    return file.with_name(f"{file.stem}_{index:0{max(3, len(str(n_texts - 1)))}}{file.suffix}")


def generate(
    bark: "Bark", texts: Sequence[str], args: argparse.Namespace
) -> Iterator[tuple[int, "Generation", str]]:
    """Yields (number of the text, generation, what else to say of it) as texts are ready."""
    options = {
        "voice": args.voice,
        "seed": [secrets.randbits(32) if args.seed is None else args.seed for _ in texts],
        "sampling": args.sampling,
        "progress": not args.quiet,
    }
    batch_rows = args.batch_size or bark.batch_rows
    if args.best_of:
        for row, (text, seed) in enumerate(zip(texts, options.pop("seed"), strict=True)):
            by = args.by or JUDGE
            mark, best = bark.best_of(args.best_of, text, by=by, seed=seed, **options)[0]
            yield row, best, f", the best of {args.best_of} by {by}: {mark:.3g}"
    elif len(texts) > batch_rows:
        for row, result in bark.stream(texts, batch_rows=batch_rows, **options):
            yield row, result, ""
    else:
        results = cast("list[Generation]", bark.generate(texts, **options))  # as texts are a list
        for row, result in enumerate(results):
            yield row, result, ""


def list_voices(args: argparse.Namespace) -> int:
    """Prints the names that --voice takes."""
    for name in find_model(args).voices.names():
        print(name)
    return OK


def write(result: "Generation", target: Target) -> str:
    """Writes the files of one text; returns what to say about it."""
    if target.wav:
        result.save(target.wav, bits=target.bits)
    else:
        with tempfile.TemporaryDirectory() as folder:
            result.save(Path(folder, "audio.wav"), bits=target.bits)
            sys.stdout.buffer.write(Path(folder, "audio.wav").read_bytes())
            sys.stdout.buffer.flush()
    name = target.wav or "standard output"
    if not result.duration_s:
        return f"{name}: no audio, for the model ended at once; try another --seed"
    for voice in target.voices:
        result.save_voice(voice)
    ended = ENDS[result.finish_reason]
    return f"{name}: {result.duration_s:.2f} s of audio, seed {result.seed}, {ended}"
