"""Sentences that people wrote: Debian's `fortunes`, as far as they are plain English.

They are read where Debian puts them and never copied here. What the test holds back is left out:
`unseen.txt`, the sentences, and `held_out.txt`, words that no training text may have.
"""

import functools
import re
from collections.abc import Iterator
from pathlib import Path

from bark_jax.evaluation.wer import normalize
from bark_jax.runtime.lines import read_lines

HERE = Path(__file__).parent
FORTUNES = Path("/usr/share/games/fortunes")  # apt-get install fortunes
WORDS = Path("/usr/share/dict/american-english")  # apt-get install wamerican
UNSUITED = {"anarchism", "ascii-art", "bofh-excuses", "debian", "linux", "perl", "translate-me"}
FEWEST_WORDS, MOST_WORDS = 3, 22
PAUSES = str.maketrans({";": ",", ":": ",", '"': None})


def natural_sentences(fortunes: Path = FORTUNES, words: Path = WORDS) -> list[str]:
    """All different sentences whose words are all in a dictionary, in the order of the files.

    Raises:
      FileNotFoundError: the texts or the dictionary are not installed.
    """
    known, held_back = english_words(words), held_out()
    unseen = {normalize(text) for text in read_lines(HERE / "unseen.txt")}
    found: dict[str, str] = {}
    for text in _texts(fortunes):
        for sentence in _sentences(text):
            said = re.findall(r"[A-Za-z']+", sentence)
            if not FEWEST_WORDS <= len(said) <= MOST_WORDS:
                continue
            if any(word.isupper() and len(word) > 1 for word in said):
                continue
            plain = normalize(sentence)
            if not held_back.search(plain) and all(w.lower().strip("'") in known for w in said):
                found.setdefault(plain, sentence)
    return [sentence for plain, sentence in found.items() if plain not in unseen]


@functools.cache
def english_words(path: Path = WORDS) -> frozenset[str]:
    """A dictionary's words in lower case."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: apt-get install wamerican")
    return frozenset(word.lower() for word in path.read_text(encoding="utf-8").split())


@functools.cache
def held_out() -> re.Pattern[str]:
    """Matches every form of the words that are kept for the test."""
    words = [line for line in read_lines(HERE / "held_out.txt") if line]
    stems = (word[:-1] if word.endswith("y") and len(word) > 5 else word for word in words)
    return re.compile(rf"\b(?:{'|'.join(stems)})")


def _texts(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not there: apt-get install fortunes")
    for path in sorted(folder.iterdir()):
        if not path.suffix and path.name not in UNSUITED and not path.is_symlink():
            yield from path.read_text(encoding="utf-8", errors="replace").split("\n%\n")


def _sentences(text: str) -> Iterator[str]:
    """Its sentences of letters and marks alone; from "-- Author" on, it is not the text's own."""
    lines = []
    for line in text.splitlines():
        if re.match(r"\s*--", line):
            break
        lines.append(line.strip())
    joined = re.sub(r"\s+", " ", " ".join(lines)).replace("``", '"')
    for part in re.split(r"""(?<=[.?!])["')]*\s+(?=["']?[A-Z])""", joined):
        sentence = re.sub(r" ?-- ?", ", ", part.strip(" \"'()")).translate(PAUSES)
        sentence = re.sub(r"\.{2,}", "", sentence)
        sentence = re.sub(r"\s*,[\s,]*", ", ", sentence)
        if re.fullmatch(r"[A-Za-z][A-Za-z' ,-]*[.?!]?", sentence):
            yield sentence
