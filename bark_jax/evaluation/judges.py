"""Judges: functions of a `Generation`, where higher is better, and the table of their names.

>>> bark.best_of(8, "hello there", by="words")
>>> get_judge("likeness", bark, voice="rms")(generation)
0.93
"""

import dataclasses
import importlib.util
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

import numpy as np

from bark_jax.config import TRANSFORMERS
from bark_jax.evaluation import dnsmos as mos
from bark_jax.evaluation import speakers
from bark_jax.evaluation.recognizer import make_recognizer
from bark_jax.evaluation.wer import word_errors
from bark_jax.generation import Generation, voice_of
from bark_jax.numbers import check_allowed
from bark_jax.runtime import named

Judge = Callable[[Generation], float]


class Model(Protocol):
    """What judges need of `Bark`."""

    voices: Any

    @property
    def sample_rate(self) -> int: ...
    def decode(self, codes: Any) -> Any: ...
    def score(self, generation: Any, *, voice: Any) -> Any: ...


def word_accuracy(recognizer: str = "pocketsphinx") -> Judge:
    """1 minus the word error rate that a recogniser hears, so at most 1; it may be below 0.

    Args:
      recognizer: as `recognizer.make_recognizer` takes it.
    Raises:
      ValueError, ImportError: as `make_recognizer` does.
    """
    transcribe = make_recognizer(recognizer)

    def judge(made: Generation) -> float:
        errors, words = word_errors(made.text, transcribe(made.audio, made.sample_rate))
        return 1 - errors / max(words, 1)

    return judge


def likelihood(bark: Model, stage: str = "semantic", voice: Any = None) -> Judge:
    """Mean log-probability [nat] of a token of one stage; rows without any get -inf.

    Args:
      voice: the voice of the generations, if it has no name.
    """
    check_allowed("stage", stage, (f"one of {TRANSFORMERS}", lambda name: name in TRANSFORMERS))

    def judge(made: Generation) -> float:
        mean = bark.score(made, voice=voice).means().get(stage)
        return float("-inf") if mean is None else mean

    return judge


def dnsmos(part: str = "overall") -> Judge:
    """How good it sounds to DNSMOS, 1 to 5; NaN where there is no sound.

    Args:
      part: "overall", "signal" (of the voice), "background" (its absence), or "p808" (by the
        rules of ITU-T P.808).
    """
    check_allowed("part", part, (f"one of {sorted(mos.PARTS)}", lambda name: name in mos.PARTS))
    return lambda made: mos.opinion(made.audio, made.sample_rate)[part]


def likeness(bark: Model, voice: Any = None) -> Judge:
    """How much it sounds like its voice: the cosine of two speaker embeddings, 0 … 1.

    NaN where there is no voice to compare with, or none to hear.

    Args:
      voice: to compare with; None: the one that each generation was made with.
    """
    embeddings: dict[str, np.ndarray | None] = {}

    def embedded(own: Any) -> np.ndarray | None:
        # a name is decoded once, an object each time: it might be changed meanwhile
        if not isinstance(own, str) or own not in embeddings:
            audio = bark.decode(bark.voices.resolve(own).fine)
            found = speakers.embedding(audio, bark.sample_rate)
            if not isinstance(own, str):
                return found
            embeddings[own] = found
        return embeddings[own]

    def judge(made: Generation) -> float:
        own = voice_of(made, voice)
        wanted = None if own is None else embedded(own)
        heard = None if wanted is None else speakers.embedding(made.audio, made.sample_rate)
        return float("nan") if wanted is None or heard is None else float(wanted @ heard)

    return judge


@dataclasses.dataclass(frozen=True)
class Kind:
    """A judge of the table: how it is made from its name, and what that takes."""

    says: str
    make: Callable[[str | None, Model, Any], Judge]  # option, model, voice
    packages: tuple[str, ...] = ()
    install: str = ""


JUDGES: Mapping[str, Kind] = {
    "words": Kind(
        "words, or words:RECOGNIZER: 1 minus the word error rate",
        lambda recognizer, bark, voice: word_accuracy(recognizer or "pocketsphinx"),
        ("jiwer", "pocketsphinx", "soxr"),
        'pip install "bark-jax[eval]"',
    ),
    "likelihood": Kind(
        "likelihood, or likelihood:STAGE: mean log-probability of a token under the model itself",
        lambda stage, bark, voice: likelihood(bark, stage or "semantic", voice),
    ),
    "dnsmos": Kind(
        "dnsmos, or dnsmos:PART: opinion score, 1 to 5",
        lambda part, bark, voice: dnsmos(part or "overall"),
        ("librosa", "onnxruntime", "requests", "soxr", "speechmos"),
        'pip install "bark-jax[dnsmos]"',
    ),
    "likeness": Kind(
        "likeness, or likeness:VOICE: of the speaker's voice, 0 to 1",
        lambda name, bark, voice: likeness(bark, name or voice),
        ("librosa", "scipy", "soxr", "torch", "webrtcvad", "resemblyzer"),
        'pip install "bark-jax[likeness]" && pip install --no-deps Resemblyzer',
    ),
}


def check_judge(name: str) -> tuple[Kind | None, str]:
    """The judge's kind, None for a function of the user's; and what follows its colon.

    Raises:
      ValueError: no such judge.
      ImportError: it needs a package that is not installed; says how to install it.
    """
    head, _, rest = name.partition(":")
    if (kind := JUDGES.get(head)) is None:
        if head and rest:
            return None, rest
        raise ValueError(
            f"judge {name!r} is not known; want one of {', '.join(JUDGES)}, or module:function"
        )
    is_other = head == "words" and rest not in ("", "pocketsphinx")
    needed = [package for package in kind.packages if not (is_other and package == "pocketsphinx")]
    if missing := [package for package in needed if importlib.util.find_spec(package) is None]:
        raise ImportError(f"judge {name!r} needs {', '.join(missing)}: {kind.install}")
    return kind, rest


def get_judge(name: str, bark: Model, voice: Any = None) -> Judge:
    """The judge with this name.

    Args:
      name: "words", "words:RECOGNIZER" (see `recognizer.make_recognizer`), "likelihood",
        "likelihood:STAGE", "dnsmos", "dnsmos:PART", "likeness", "likeness:VOICE"; or
        "module:function" of a function of a `Generation`.
      bark: the model that made the generations.
      voice: that they were made with, if it has no name.
    Raises:
      ValueError: no such judge, or not with this option.
      ImportError: it needs a package that is not installed; says how to install it.
    """
    kind, rest = check_judge(name)
    if kind is not None:
        return kind.make(rest or None, bark, voice)
    return cast("Judge", named.find("judge", name))


def column_of(name: str) -> str:
    """The name under which a judge's marks are recorded: "mark_words", "mark_dnsmos_signal" …"""
    return "mark_" + re.sub(r"\W+", "_", name)
