"""Whether a piece came out as it should: what is wrong with it, and how much."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from bark_jax.evaluation.wer import word_errors
from bark_jax.sound import sounding_spans

Recognizer = Callable[[np.ndarray, int], str]  # (audio, sample rate) -> words

TOO_SHORT = 0.4  # of the estimated length: readers differ by a quarter, so words are missing
MOSTLY_SILENT = 0.5  # share of the audio
CLIPPED = 0.002  # share of the samples: some a second may be peaks, more are heard
MISSED_WORDS = 0.5  # share of the words: recognisers themselves miss some
REPEAT_S = (0.25, 2.5)  # length of what is repeated
REPEATED_S = 1.0  # least length of the repetition, twice over what is repeated


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is wrong with a piece, in words; `score` ranks tries, and 0 is best."""

    faults: tuple[str, ...]
    score: float
    length_s: float  # from the first sound to the last
    word_error_rate: float | None = None
    mark: float | None = None  # a judge's, where there is one


def judge(
    audio: np.ndarray,
    sample_rate: int,
    semantic: np.ndarray,
    semantic_rate_hz: float,
    *,
    text: str,
    is_cut_off: bool,
    expected_s: float,
    recognizer: Recognizer | None = None,
    mark: float | None = None,
    least_mark: float | None = None,
) -> Verdict:
    """Checks one try of a piece.

    Args:
      audio: (S,) float32, as the codec gave it.
      semantic: its tokens (N,).
      is_cut_off: it reached a limit instead of its end.
      expected_s: how long the text should take [s].
      recognizer: hears the words; None: they are not checked.
      mark: of a judge, higher is better.
      least_mark: a lower one is a fault, and so is NaN.
    """
    spans = sounding_spans(audio, sample_rate)
    sounding_s = sum(end - begin for begin, end in spans)
    duration_s = len(audio) / sample_rate
    length_s = spans[-1][1] - spans[0][0] if spans else 0.0
    faults: dict[str, float] = {}  # what is wrong -> how bad it is, 0 … 10
    if not spans:
        faults["no sound"] = 10.0
    elif length_s < TOO_SHORT * expected_s:
        faults["ends too early"] = 3.0
    if is_cut_off:
        faults["runs to the limit"] = 3.0
    if spans and sounding_s < (1 - MOSTLY_SILENT) * duration_s:
        faults["mostly silent"] = 2.0
    if len(audio) and float((np.abs(audio) >= 1).mean()) > CLIPPED:
        faults["clipped"] = 1.0
    if repeats_itself(semantic, semantic_rate_hz):
        faults["repeats itself"] = 3.0
    rate = None
    if recognizer is not None and spans:
        errors, n_words = word_errors(text, recognizer(audio, sample_rate))
        rate = errors / n_words if n_words else 0.0
        if rate > MISSED_WORDS:
            faults["misses words"] = 2.0
    if mark is not None and least_mark is not None and not mark >= least_mark:
        faults["marked too low"] = 2.0
    unlike = abs(math.log(max(length_s, 0.1) / max(expected_s, 0.1)))
    score = sum(faults.values()) + unlike + (rate or 0.0)
    return Verdict(tuple(faults), score, length_s, rate, mark)


def repeats_itself(semantic: np.ndarray, rate_hz: float) -> bool:
    """Whether a stretch of tokens is said at least three times in a row, almost equally.

    A held sound or silence, which is one token or two over and over, is no repetition.
    """
    for lag in range(max(2, round(REPEAT_S[0] * rate_hz)), round(REPEAT_S[1] * rate_hz) + 1):
        least = max(2 * lag, round(REPEATED_S * rate_hz))
        equal = semantic[lag:] == semantic[:-lag]
        if len(equal) < least:
            break
        share = np.convolve(equal, np.ones(least), "valid") / least
        for begin in np.flatnonzero(share >= 0.9):
            if len(np.unique(semantic[begin : begin + lag])) > 3:
                return True
    return False
