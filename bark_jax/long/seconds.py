"""How long a text takes to say: estimated from its letters, before anything is generated.

Word pieces tell little about time: a rare name is many pieces, a common word of twelve letters is
one. Letters tell more. Each character counts as so many letters of English, and a voice says so
many of them a second. The weights were fitted to
espeak-ng's voices of Bark's languages, but for Japanese, whose ideographs it cannot read.
"""

import functools
import re
import unicodedata

LETTERS_PER_S = 15.0  # of English, read aloud; a model's own rate is learnt while it speaks
TAG = re.compile(r"\[[^\]\n]*\]")  # [laughs], [MAN] …
TAG_LETTERS = 12.0  # a laugh takes a second
SUNG = re.compile(r"♪[^♪]*♪?")
SUNG_SLOWER = 1.5
STOP, COMMA = 5.0, 2.5  # pauses, as letters
WEIGHTS = {"CJK": 4.0, "HIRAGANA": 1.9, "KATAKANA": 1.9, "HANGUL": 2.8, "DEVANAGARI": 1.1}
DIGIT, SYMBOL = 4.5, 6.0  # "seven", "dollars"


def letters_of(text: str) -> float:
    """The length of a text in letters of English."""
    sung = sum(map(_plain_letters, SUNG.findall(text))) * (SUNG_SLOWER - 1)
    return _plain_letters(text) + sung


def seconds_of(text: str, letters_per_s: float = LETTERS_PER_S) -> float:
    """Estimated duration [s] of a text in any of Bark's languages."""
    return letters_of(text) / letters_per_s


def _plain_letters(text: str) -> float:
    spoken, n_tags = TAG.subn(" ", text)
    return sum(map(_weight, spoken)) + n_tags * TAG_LETTERS


@functools.lru_cache(maxsize=1 << 14)
def _weight(char: str) -> float:
    category = unicodedata.category(char)
    if char in ".!?。！？।…;:；：":
        return STOP
    if char in ",，、—–":
        return COMMA
    if category == "Nd":
        return DIGIT
    if category in ("Sc", "Sm") or char in "%&@°":
        return SYMBOL
    if category[0] in "LM":
        return WEIGHTS.get(unicodedata.name(char, "").partition(" ")[0], 1.0)
    return 0.4 if char.isspace() else 0.0  # words are said apart
