"""A pronouncing dictionary that may lie beside a tokenizer's vocabulary: words as phones.

One word a line, then its phones: `tomato t ax m ey t ow`. A word that it lacks is guessed where a
file tells how letters sound (`bark_jax/letters.py`); otherwise it stays letters, whose sound the
model has to know by itself.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from bark_jax.letters import LetterSounds
from bark_jax.runtime.lines import lines_of

LEXICON_FILE = "lexicon.txt"

Lexicon = Mapping[str, tuple[str, ...]]  # lower-case word -> names of its phones

NO_WORDS: Lexicon = MappingProxyType({})
ENDINGS = ("s", "z", "ih")  # phones that possessives add
HISSING = frozenset({"s", "z", "sh", "zh", "ch", "jh"})
VOICELESS = frozenset({"p", "t", "k", "f", "th", "hh"})
VOWELS = frozenset("aeiouy")
MOST_INITIALS = 5  # of an abbreviation


def forms_of(phone: str) -> tuple[str, str]:
    """The pieces of a phone at a word's beginning and inside a word; no text is mistaken for it."""
    return f"<{phone}>", f"##<{phone}>"


def pronounce(
    word: str, lexicon: Lexicon, letters: LetterSounds | None = None
) -> tuple[str, ...] | None:
    """The phones of a lower-case word; None if it is not known.

    A word that the lexicon lacks is a known word with 's, the names of its letters if none of them
    is a vowel ("xml"), or what `letters` make of it.
    """
    if (phones := lexicon.get(word)) is not None:
        return phones
    if word.endswith(("'s", "s'")):
        owner = pronounce(word.removesuffix("'s").removesuffix("'"), lexicon, letters)
        return owner and _owning(owner, is_plural=word.endswith("s'"))
    if letters is None:
        return None
    plain = word.replace("'", "")
    if len(plain) <= MOST_INITIALS and not VOWELS & set(plain):
        names = [lexicon.get(letter) for letter in plain]
        return tuple(phone for name in names for phone in name or ()) if all(names) else None
    return letters.pronounce(plain)


def _owning(owner: tuple[str, ...], *, is_plural: bool) -> tuple[str, ...]:
    if is_plural:
        return owner
    if owner[-1] in HISSING:
        return (*owner, "ih", "z")
    return (*owner, "s" if owner[-1] in VOICELESS else "z")


def read_lexicon(path: Path) -> dict[str, tuple[str, ...]]:
    """The words of a file; {} if there is none.

    Raises:
      ValueError: a line has no phones, or the file is not UTF-8; named.
    """
    if not path.is_file():
        return {}
    try:
        rows = [line.split() for line in lines_of(path.read_text(encoding="utf-8"))]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a pronouncing dictionary: {error}") from error
    for number, row in enumerate(rows, 1):
        if len(row) == 1:
            raise ValueError(f"{path}, line {number}: {row[0]!r} has no phones")
    return {row[0]: tuple(row[1:]) for row in rows if row}


def write_lexicon(path: Path, lexicon: Lexicon) -> None:
    """Writes what `read_lexicon` reads, sorted by word."""
    lines = [" ".join((word, *lexicon[word])) for word in sorted(lexicon)]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
