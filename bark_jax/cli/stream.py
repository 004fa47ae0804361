"""`bark-jax --stream`: audio to a pipe or a file as it is made, to be played meanwhile."""

import argparse
import contextlib
import os
import secrets
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from bark_jax.cli.arguments import PIPE, PROG, Parser
from bark_jax.cli.conventions import OK, check_pipe
from bark_jax.cli.model import find_model, load_model
from bark_jax.runtime.files import check_writable, make_folder
from bark_jax.runtime.lines import decode
from bark_jax.streaming.wav import wav_header
from bark_jax.text import checked_text

if TYPE_CHECKING:
    import numpy as np

NOT_WITH = {  # attribute of the arguments -> flag that a stream has no use for
    "long": "--long",
    "bits": "--bits",
    "batch_file": "--batch-file",
    "output_full": "--output-full",
    "save_voice": "--save-voice",
    "batch_size": "--batch-size",
}


def speak_stream(parser: Parser, args: argparse.Namespace) -> int:
    """Speaks the texts of the command, one after the other, and writes audio as it is made."""
    for name, flag in NOT_WITH.items():
        if getattr(args, name):
            parser.error(f"--stream takes no {flag}")
    if not args.texts:
        parser.error(f'no text: {PROG} --stream "Hello." > hello.wav, or "-" to read lines')
    path = None if args.output == PIPE else Path(args.output_dir, args.output).expanduser()
    _check_output(parser, args, path)
    texts = args.texts
    for text in (text for text in texts if text != PIPE):
        checked_text(text)
    bark = load_model(args, find_model(args))
    stream = bark.stream_audio(
        texts[0] if len(texts) == 1 and texts[0] != PIPE else _lines(texts),
        mode="low_latency" if args.low_latency else "exact",
        voice=args.voice,
        seed=(seed := secrets.randbits(32) if args.seed is None else args.seed),
        sampling=args.sampling,
    )
    first_s, n_samples, begin = None, 0, time.perf_counter()
    with _opened(path) as file, Sink(file, stream.sample_rate, args.format == "raw") as sink:
        for chunk in stream:
            sink.write(chunk, stream.n_samples)
            n_samples += len(chunk)
            first_s = time.perf_counter() - begin if first_s is None else first_s
    if not args.quiet:
        name = path or "standard output"
        if first_s is None:
            print(f"{name}: no audio, for the model ended at once; try another --seed",
                  file=sys.stderr)  # fmt: skip
        else:
            took_s = time.perf_counter() - begin
            print(
                f"{name}: {n_samples / stream.sample_rate:.2f} s of audio, seed {seed}; the first "
                f"after {first_s:.2f} s, all after {took_s:.2f} s (compiling included)",
                file=sys.stderr,
            )
    return OK


def _check_output(parser: Parser, args: argparse.Namespace, path: Path | None) -> None:
    """All that can be checked before the work begins; makes the folder."""
    if path is None:
        check_pipe(parser)
        return
    if args.format == "wav" and path.suffix.lower() != ".wav":
        parser.error(f"the output is a WAV file: {str(path)!r} must end in .wav")
    if args.format == "raw" and path.suffix.lower() == ".wav":
        parser.error(f"--format raw writes samples without a header: {str(path)!r} is no WAV file")
    make_folder(path.parent)
    check_writable(path)


def _lines(texts: Iterable[str]) -> Iterator[str]:
    """The texts, with the lines of standard input, as they come, in place of "-"."""
    for text in texts:
        if text != PIPE:
            yield text
            continue
        for line in sys.stdin.buffer:
            if said := decode(line, "standard input").strip():
                yield said


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[BinaryIO]:
    if path is None:
        yield sys.stdout.buffer
        return
    with path.open("wb") as file:
        yield file


class Sink:
    """Writes audio as a WAV (32-bit float) or raw (16-bit little-endian samples) in chunks.

    The sizes in a WAV's header are true if the length is known when the first chunk comes, or if
    the file can be gone back in at the end; else they say that it is not known.
    """

    def __init__(self, file: BinaryIO, sample_rate: int, is_raw: bool) -> None:
        self._file, self._rate, self._is_raw = file, sample_rate, is_raw
        self._start: int | None = None  # of the header, where one can go back to it
        self._said: int | None = None  # length that the header says
        self._n_samples, self._has_begun = 0, False

    def __enter__(self) -> "Sink":
        return self

    def write(self, chunk: "np.ndarray", n_samples: int | None) -> None:
        """Writes a chunk, and before the first one a header for `n_samples`, if that is known."""
        if not self._has_begun:
            self._begin(n_samples)
        self._file.write(encode(chunk, self._is_raw))
        self._file.flush()
        self._n_samples += len(chunk)

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None and issubclass(error, BrokenPipeError):
            return
        if not self._has_begun and error is None:
            self._begin(0)
        if self._start is not None and self._said != self._n_samples:
            self._file.seek(self._start)
            self._file.write(wav_header(self._rate, self._n_samples))
            self._file.seek(0, os.SEEK_END)
        self._file.flush()

    def _begin(self, n_samples: int | None) -> None:
        self._has_begun = True
        if self._is_raw:
            return
        self._start, self._said = _place(self._file), n_samples
        self._file.write(wav_header(self._rate, n_samples))


def _place(file: BinaryIO) -> int | None:
    """Where a file stands, if one can go back there and write."""
    try:
        import fcntl

        if fcntl.fcntl(file.fileno(), fcntl.F_GETFL) & os.O_APPEND:
            return None  # whatever is written goes to its end
    except (ImportError, OSError):
        return None
    return file.tell() if file.seekable() else None


def encode(chunk: Any, is_raw: bool) -> bytes:
    """The samples as bytes: 16-bit whole numbers, clipped, or 32-bit floats; little endian."""
    from bark_jax.data.pcm import quantize_audio

    return (quantize_audio(chunk) if is_raw else chunk).astype("<i2" if is_raw else "<f4").tobytes()
