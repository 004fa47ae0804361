"""The arguments of the command line: what they are, and how they become values.

Every flag of the original's command line is here under its own name; `--text_temp` and
`--text-temp` are one flag.
"""

import argparse
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from bark_jax import __version__
from bark_jax.cli.subcommands import SUBCOMMANDS
from bark_jax.config import DTYPES, STAGES, weights_by_stage
from bark_jax.long.languages import LANGUAGES
from bark_jax.long.settings import MODES, LongSettings
from bark_jax.runtime import environment
from bark_jax.sampling_config import BARK

PROG = "bark-jax"
USAGE_ERROR = 2  # exit code
PIPE = "-"  # standard input or output, in place of a text or a file
JUDGE = "words"  # of --best-of
OUTPUT = "bark_generation.wav"  # where audio goes by default
SWITCHES = ("-q", "--quiet", "--silent", "--output-full")  # may take a value: --silent True
BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
DESCRIPTION = (
    'Turns text into speech and other sounds. Writes a WAV file; "-" reads or writes a pipe.'
)
EPILOG = """\
examples:
  bark-jax "good morning" -o morning.wav
  bark-jax "Hello [laughs]." -v v2/en_speaker_6 --seed 1 --model suno/bark-small
  echo "good morning" | bark-jax - -o - | aplay
  bark-jax "good morning" "good night" -o out.wav a batch: out_000.wav, out_001.wav
  bark-jax "good morning" --save-voice me.npz && bark-jax "good night" -v me.npz
  bark-jax --stream "good morning" | aplay        heard while it is made
  bark-jax --batch-file lines.txt --out-dir out   thousands of lines; goes on where it stopped
  bark-jax --long chapter.txt -o chapter.wav      a text of any length, as one file

commands, each with a --help of its own:
{commands}

exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted
"""


class Parser(argparse.ArgumentParser):
    """Reports a mistake in one line, without the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"{PROG}: {message} (see {self.prog} --help)\n")


def make_parser() -> Parser:
    parser = Parser(
        prog=PROG,
        usage=f"{PROG} [TEXT ...] [options]\n       {PROG} COMMAND ...",
        description=DESCRIPTION,
        epilog=EPILOG.format(commands="\n".join(_commands())),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_text_and_output(parser.add_argument_group("text and output"))
    _add_long(parser.add_argument_group("texts of any length (--long)"))
    _add_model(parser.add_argument_group("model"))
    _add_sampling(parser.add_argument_group("sampling"))
    add = parser.add_argument_group("other").add_argument
    add("-q", "--quiet", "--silent", default=False, type=boolean, nargs="?", metavar="BOOL",
        help="print only warnings and errors")  # fmt: skip
    add("--list-voices", action="store_true", help="print the names of the model's voices")
    add("--debug", action="store_true", help="show the traceback of an error")
    add("--version", action="version", version=f"{PROG} {__version__}")
    return parser


def _commands() -> Iterator[str]:
    width = max(map(len, SUBCOMMANDS))
    for name, command in SUBCOMMANDS.items():
        yield f"  {PROG} {name:<{width}}  {command.does}"


def parse(parser: Parser, argv: Sequence[str]) -> argparse.Namespace:
    """Parses; `args.texts` has all texts, `args.sampling` the plain data of a `SamplingConfig`."""
    argv = list(argv)
    end = argv.index("--") if "--" in argv else len(argv)
    args = parser.parse_intermixed_args(_respell(argv[:end]))
    if args.output is None:
        args.output = PIPE if args.stream else OUTPUT
    args.texts = [*args.text, *args.positional, *argv[end + 1 :]]
    args.sampling = _sampling(args)
    args.long_settings = _long_settings(args)
    return args


# One or two lines per option, so that they read as a list.
# fmt: off
def _add_text_and_output(group: Any) -> None:
    add = group.add_argument
    add("positional", nargs="*", metavar="TEXT",
        help='what to say; several make a batch; "-" reads one text per line from standard input')
    add("--text", action="append", default=[], help="the same, as a flag")
    add("-v", "--voice", "--history-prompt", metavar="VOICE",
        help="name of a preset, or a .npz file; without it every run has a voice of its own")
    add("-o", "--output", "--output-filename", metavar="FILE",
        help=f'.wav, .flac, .ogg, .opus or .mp3; default {OUTPUT}; "-" writes a WAV to standard '
        "output")
    add("--bits", type=int, choices=(16, 24, 32),
        help="a sample: of WAV (default 32, which is float) and FLAC (24)")
    add("--output-dir", metavar="DIR", default="", help="folder for FILE, made if missing")
    add("--output-full", default=False, type=boolean, nargs="?", metavar="BOOL",
        help="also write FILE with suffix .npz: the tokens, to be used as a voice")
    add("--save-voice", metavar="NPZ", type=npz_name, help="the same, to a file of your choice")
    add("--seed", type=whole, metavar="N",
        help="of every text; equal seeds give equal audio; default: a new one each, printed")
    add("--best-of", type=positive_int, metavar="N",
        help="speak every text with N seeds, from --seed on, and keep the best by a judge")
    add("--by", metavar="JUDGE",
        help="of --best-of and --long: words, likelihood, dnsmos, likeness or module:function; "
        f"default of --best-of: {JUDGE}, by a recogniser of English")
    add("--stream", action="store_true",
        help="write audio as it is made, to standard output or FILE; texts follow one another")
    add("--low-latency", action="store_true",
        help="of --stream: the first sound as early as possible, of another quality")
    add("--format", choices=("wav", "raw"), default="wav",
        help="of --stream: a WAV, or 16-bit little-endian samples alone (default %(default)s)")
    add("--batch-file", metavar="FILE",
        help="a text per line, or .jsonl with text, id, voice, seed, sampling; needs --out-dir")
    add("--out-dir", metavar="DIR", help="of --batch-file: ID.wav for each line, results.jsonl")
    add("--part", type=part, default=(0, 1), metavar="I/N",
        help="of --batch-file: the I-th of N processes that share the lines out")
    add("--batch-size", type=positive_int, metavar="N",
        help="texts under way at a time; default: what suits the platform")


def _add_long(group: Any) -> None:
    add, default = group.add_argument, LongSettings()
    add("--long", metavar="FILE",
        help='say all of a text, .md, .srt or .vtt file, or of "-", as one recording; its manifest '
        "is FILE.json beside it; the same command again goes on where it stopped")
    add("--voices", type=speakers, default={}, metavar="NAME=VOICE,…",
        help='of lines that begin with "NAME: "; the name is not said')
    add("--notebook", action="store_true",
        help="as the original's notebook: sentence by sentence, temperature 0.6, min-eos-p 0.05")
    add("--mode", dest="long.mode", choices=MODES,
        help="what a piece continues: always the voice, the piece before, or that with the voice "
        f"every few pieces (default {default.mode})")
    add("--reanchor-every", dest="long.reanchor_every", type=positive_int, metavar="K",
        help=f"pieces from one return to the voice to the next (default {default.reanchor_every})")
    add("--language", dest="long.language", choices=LANGUAGES, help="default: guessed")
    add("--tries", dest="long.tries", type=positive_int, metavar="N",
        help=f"of a piece that fails a check (default {default.tries})")
    add("--least-mark", dest="long.least_mark", type=float, metavar="MARK",
        help="of the judge --by: a piece below it is tried again; without it every piece is tried "
        "--tries times, and the best is taken")
    add("--recognizer", dest="long.recognizer", metavar="NAME",
        help='checks the words too: "pocketsphinx" (English), "whisper:MODEL" or "module:function"')
    add("--pause", dest="long.pause_s", type=number, metavar="SECONDS",
        help=f"between pieces (default {default.pause_s})")
    add("--speaker-pause", dest="long.speaker_pause_s", type=number, metavar="SECONDS",
        help=f"between speakers (default {default.speaker_pause_s})")
    add("--loudness", dest="long.loudness_lufs", type=float, metavar="LUFS",
        help=f"of every piece (default {default.loudness_lufs:g})")


def _add_model(group: Any) -> None:
    add = group.add_argument
    add("--model", default=by_stage(default_model()), type=by_stage, metavar="MODEL",
        help='a directory, hub repository (suno/bark, suno/bark-small), "nano" or "untrained" '
        f"(noise); one per stage: semantic=MODEL,coarse=MODEL (default {default_model()}; "
        f"set by ${environment.MODEL})")
    add("--revision", help="of the hub repository")
    add("--offline", action="store_true", help="use only what is on this machine")
    add("--dtype", choices=DTYPES,
        help="of weights and arithmetic; default: float32 on CPU, else bfloat16")
    add("--weights", type=formats_by_stage, default={}, metavar="FORMAT",
        help="of the transformers' matrices: int8 decodes fastest, or bfloat16; by stage: "
        "semantic=int8,coarse=int8")
    add("--offload", action="store_true", default=environment.is_true(environment.OFFLOAD),
        help="keep on the device only the stage that runs")
    add("--no-check-hashes", dest="check_hashes", action="store_false",
        help="load weights without looking for damage")


def _add_sampling(group: Any) -> None:
    add = group.add_argument
    add("--semantic-temperature", "--text-temp", dest="semantic.temperature", metavar="T",
        type=number,
        help=f"0 always takes the likeliest token ({_default(BARK.semantic.temperature)})")
    add("--coarse-temperature", "--waveform-temp", dest="coarse.temperature", metavar="T",
        type=number, help=_default(BARK.coarse.temperature))
    add("--fine-temperature", dest="fine.temperature", metavar="T",
        type=number, help=_default(BARK.fine.temperature))
    for name, (kind, metavar, words) in FILTERS.items():
        flag = name.replace("_", "-")
        add(f"--{flag}", type=kind, metavar=metavar, help=f"{words}; semantic and coarse stage")
        for stage in ("semantic", "coarse"):
            add(f"--{stage}-{flag}", dest=f"{stage}.{name}", type=kind, metavar=metavar,
                help=f"the same, {stage} stage only")
    add("--min-eos-p", dest="semantic.min_eos_p", type=share, metavar="P",
        help=f"end once the end is this likely ({_default(BARK.semantic.min_eos_p)})")
    add("--max-duration", dest="semantic.max_duration_s", type=number, metavar="SECONDS",
        help="end at this length at the latest")
    add("--no-early-stop", dest="semantic.allow_early_stop", action="store_const", const=False,
        help="never end before the greatest length")
# fmt: on


def _default(bark: object) -> str:
    return f"default: the model's own, else {bark}"


def default_model() -> str:
    """The model when none is named."""
    small = "suno/bark-small" if environment.is_true(environment.SMALL) else "nano"
    return os.environ.get(environment.MODEL) or small


def by_stage(text: str) -> dict[str, str]:
    """MODEL, or stage=MODEL,stage=MODEL …; stages left out come from the semantic one."""
    parts = [part.partition("=") for part in text.split(",")]
    if not all(equals and stage in STAGES for stage, equals, _ in parts):
        return {"semantic": text}
    return {stage: model for stage, _, model in parts}


def formats_by_stage(text: str) -> dict[str, str]:
    """FORMAT of all three transformers, or stage=FORMAT,stage=FORMAT …"""
    formats = by_stage(text)
    try:
        return weights_by_stage(formats if "=" in text else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def speakers(text: str) -> dict[str, str]:
    """NAME=VOICE,NAME=VOICE …"""
    parts = [part.partition("=") for part in text.split(",")]
    if not all(name.strip() and voice.strip() for name, _, voice in parts):
        raise argparse.ArgumentTypeError(f"want NAME=VOICE,NAME=VOICE, got {text!r}")
    return {name.strip(): voice.strip() for name, _, voice in parts}


def boolean(text: str) -> bool:
    if text.lower() not in BOOLEANS:
        raise argparse.ArgumentTypeError(f"want true or false, got {text!r}")
    return BOOLEANS[text.lower()]


def part(text: str) -> tuple[int, int]:
    """I/N, counted from 1, as (index from 0, count)."""
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise argparse.ArgumentTypeError(f"want I/N with 1 <= I <= N, got {text!r}")
    return int(index) - 1, int(count)


def file_path(text: str) -> Path:
    """With `~` as the home folder, which a shell leaves in `--out=~/x`."""
    return Path(text).expanduser()


def npz_name(text: str) -> str:
    if not text.lower().endswith(".npz"):
        raise argparse.ArgumentTypeError(f"want a name that ends in .npz, got {text!r}")
    return text


def _number(words: str, convert: Callable[[str], Any], is_allowed: Callable[[Any], bool]) -> Any:
    """An argument type: a number that satisfies `is_allowed`."""

    def parse_number(text: str) -> Any:
        try:
            value = convert(text)
        except ValueError:
            value = math.nan
        if not is_allowed(value):
            raise argparse.ArgumentTypeError(f"want {words}, got {text!r}")
        return value

    return parse_number


number = _number("a number >= 0", float, lambda value: 0 <= value < math.inf)
share = _number("a number in 0 … 1", float, lambda value: 0 <= value <= 1)
whole = _number("a whole number >= 0", int, lambda value: value >= 0)
positive_int = _number("a whole number >= 1", int, lambda value: value >= 1)
# field of a stage's sampling -> type, placeholder and help of its flags
FILTERS = {
    "top_k": (positive_int, "K", "choose among the K likeliest tokens"),
    "top_p": (share, "P", "choose among the likeliest tokens that make up this share"),
}


def _respell(argv: Sequence[str]) -> list[str]:
    """Spells --text_temp as --text-temp; a switch takes a following true or false, but no text."""
    tokens: list[str] = []
    for token in argv:
        if tokens and tokens[-1] in SWITCHES and token.lower() in BOOLEANS:
            tokens[-1] += f"={token}"
        elif token.startswith("--"):
            name, equals, value = token.partition("=")
            tokens.append(name.replace("_", "-") + equals + value)
        else:
            tokens.append(token)
    return [f"{token}=true" if token in SWITCHES else token for token in tokens]


def _long_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The given fields of `LongSettings` only."""
    settings = {
        name.removeprefix("long."): value
        for name, value in vars(args).items()
        if name.startswith("long.") and value is not None
    }
    return settings | ({"judge": args.by} if args.by else {})


def _sampling(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The given values only, by stage and field."""
    values = {name: value for name, value in vars(args).items() if value is not None}
    sampling: dict[str, dict[str, Any]] = {"semantic": {}, "coarse": {}, "fine": {}}
    for stage in ("semantic", "coarse"):
        sampling[stage] = {name: values[name] for name in FILTERS if name in values}
    for name, value in values.items():
        stage, dot, field = name.partition(".")
        if dot and stage in sampling:
            sampling[stage][field] = value
    return sampling
