"""A text cut into sentences, in any of Bark's languages; the parts joined are the text.

`sentencex` (Wikimedia) finds the ends, by the rules and abbreviations of each language. What it
does not know is added: Bark's songs and tags, and a few titles.
"""

import re
from collections.abc import Iterable, Iterator

import sentencex

from bark_jax.long.seconds import TAG

WHOLE = re.compile(r"\[[^\]\n]*\]|♪[^♪]*♪")  # a tag, a song: no sentence ends inside
SONG = re.compile(r"♪[^♪]*♪\s*")
NEXT_TAG = re.compile(r"(?<=[.!?。！？।…])\s+(?=\[[^\]\n]*\])")  # "Well! [laughs] Yes."
QUOTED = re.compile(r"[」』](?=[\u3041-\u309f])")  # Japanese goes on after a quotation: 「…。」と
# Abbreviations that a capital letter or a number may follow, and sentencex does not have.
ABBREVIATIONS = {
    "de": "ca bzw usw Abb Bd Hrsg",
    "en": "vs approx cf al",
    "es": "Sra Dra Srta Uds aprox",
    "fr": "M MM Mme Mmes Mlle Mgr Dr vol h",
    "hi": "डॉ श्री कु प्रो पं",
    "it": "ad es Sig sig Dott dott Prof",
    "pl": "godz ul ok prof dr",
    "pt": "Sra Dra Sto Sta",
    "ru": "г гг ул им проф акад",
    "tr": "Dr Prof Doç Av vb",
}


def split_sentences(text: str, language: str) -> list[str]:
    """Sentences with the white space after them; a blank line ends one too.

    Tags such as [laughs], songs between ♪, quotations, abbreviations, numbers and titles stay
    whole. A song that ends is followed by a new sentence, and a sentence by the tag of the next.
    """
    ends = set(_ends(text, language)) | _song_ends(text)
    ends |= {gap.end() for gap in NEXT_TAG.finditer(text)}
    ends -= {i for whole in WHOLE.finditer(text) for i in range(whole.start() + 1, whole.end())}
    ends -= {quoted.end() for quoted in QUOTED.finditer(text)}
    ends = {end for end in ends if not _is_abbreviated(text[:end], language)}
    return list(_parts(text, sorted(ends | {len(text)})))


def has_words(text: str) -> bool:
    """Whether there is more than tags, punctuation and white space."""
    return any(map(str.isalnum, TAG.sub("", text)))


def _ends(text: str, language: str) -> Iterator[int]:
    """Where sentencex ends a sentence. White space that it has no rules for is made plain."""
    plain = "".join(
        "\n" if char in "\n\u2028\u2029" else " " if char.isspace() else char for char in text
    )
    end = 0
    for part in sentencex.segment(language, plain):  # pyright: ignore[reportAttributeAccessIssue]
        end += len(part)
        yield end


def _song_ends(text: str) -> set[int]:
    """Ends of songs, unless the sentence goes on in lower case or with a comma."""
    ends = {song.end() for song in SONG.finditer(text)}
    return {end for end in ends if text[end : end + 1].isupper() or not text[end : end + 1]}


def _is_abbreviated(before: str, language: str) -> bool:
    """Whether a text ends with an abbreviation's full stop, on the same line."""
    found = re.search(r"(\w[\w\u0900-\u097f]*)\. *$", before[-40:])
    return bool(found) and found[1] in ABBREVIATIONS.get(language, "").split()


def _parts(text: str, ends: Iterable[int]) -> Iterator[str]:
    """The text between the ends; what holds no word stays with the part before it."""
    begin, part = 0, ""
    for end in ends:
        piece, begin = text[begin:end], end
        if not (has_words(piece) and has_words(part)):
            part += piece
        else:
            yield part
            part = piece
    if part:
        yield part
