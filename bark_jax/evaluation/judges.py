"""Judges for `Bark.best_of`: functions of a `Generation`, where higher is better."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from bark_jax.evaluation.recognizer import make_recognizer
from bark_jax.evaluation.wer import word_errors
from bark_jax.generation import Generation

if TYPE_CHECKING:
    from bark_jax.pipeline import Bark

Judge = Callable[[Generation], float]


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


def likelihood(bark: "Bark", stage: str = "semantic", voice: object = None) -> Judge:
    """Mean log-probability [nat] of a token of one stage; rows without any get -inf.

    Args:
      voice: the voice of the generations, if it has no name.
    """

    def judge(made: Generation) -> float:
        mean = bark.score(made, voice=voice).means().get(stage)
        return float("-inf") if mean is None else mean

    return judge
