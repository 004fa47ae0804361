"""What a recording says, by a judge independent of the model that spoke it.

A recogniser is a function (audio, sample rate) -> text. Two come with the package, each imported
only when used; any other is named as `module:function`.
"""

import functools
from collections.abc import Callable
from typing import cast

import numpy as np

from bark_jax.runtime import named
from bark_jax.sound import resampled

RATE_HZ = 16_000  # of the recognisers' acoustic models

Recognizer = Callable[[np.ndarray, int], str]


def make_recognizer(name: str) -> Recognizer:
    """The recogniser with this name.

    Args:
      name: "pocketsphinx" (English, offline, its model is inside the package);
        "whisper:MODEL" (faster-whisper; MODEL is a size such as "tiny.en", or a directory); or
        "module:function".
    Raises:
      ValueError: no such recogniser.
      ImportError: its package is not installed.
    """
    kind, _, rest = name.partition(":")
    if name == "pocketsphinx":
        _pocketsphinx()
        return transcribe
    if kind == "whisper" and rest:
        _whisper(rest)
        return functools.partial(_transcribe_whisper, rest)
    if kind and rest and kind != "whisper":
        return cast("Recognizer", named.find("recognizer", name))
    raise ValueError(
        f'recognizer={name!r} is not known; want "pocketsphinx", "whisper:MODEL" or '
        '"module:function"'
    )


def transcribe(audio: np.ndarray, sample_rate: int) -> str:
    """The words that pocketsphinx hears, in lower case; "" where it hears none.

    Equal audio gives equal words, regardless of what was transcribed before.

    Args:
      audio: (S,) float, in -1 … 1; clipped beyond.
      sample_rate: of the audio [Hz].
    """
    samples = resampled(audio, sample_rate, RATE_HZ)
    if not samples.any():
        return ""
    decoder = _pocketsphinx()
    decoder.reinit_feat()  # forgets the feature mean that it has adapted to
    decoder.start_utt()
    pcm = (samples.clip(-1, 1) * 32767).round().astype("<i2")
    decoder.process_raw(pcm.tobytes(), full_utt=True)
    decoder.end_utt()
    heard = decoder.hyp()
    return heard.hypstr if heard else ""


def _transcribe_whisper(model: str, audio: np.ndarray, sample_rate: int) -> str:
    samples = resampled(audio, sample_rate, RATE_HZ)
    # unless told, it draws words at ever higher temperatures where it is unsure
    segments, _ = _whisper(model).transcribe(samples, temperature=0.0)
    return " ".join(segment.text.strip() for segment in segments)


@functools.cache
def _pocketsphinx():
    """A decoder on the default model of US English; loading takes 0.4 s."""
    from pocketsphinx import Decoder

    return Decoder(samprate=RATE_HZ, loglevel="FATAL")


@functools.cache
def _whisper(model: str):
    from faster_whisper import WhisperModel  # pyright: ignore[reportMissingImports]

    return WhisperModel(model)
