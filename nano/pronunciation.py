"""How flite pronounces the words of a dictionary, one by one."""

import hashlib
import itertools
import json
import re
import subprocess
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from bark_jax.evaluation.wer import normalize
from bark_jax.lexicon import Lexicon, read_lexicon, write_lexicon
from bark_jax.runtime.lines import read_lines
from bark_jax.spelling import spell_out
from nano.corpus import SILENCE

FASTEST = "kal"  # of flite's voices; all pronounce alike
AT_ONCE = 60  # words
SHORTENED = (  # which dictionaries of single words lack
    "i'm i'll i'd i've you're you'll you'd you've he'll he'd she'll she'd it'll we're we'll we'd "
    "we've they're they'll they'd they've don't doesn't didn't won't wouldn't can't couldn't "
    "shouldn't isn't aren't wasn't weren't hasn't haven't hadn't ain't let's that's it's he's "
    "she's what's who's where's there's here's how's ma'am o'clock missus miz mister okay"
).split()
N_COMMON = 300
LEFT_OUT = 0.2  # of the words, for the model to learn spelling from


def write_pronunciations(path: Path, words: Iterable[str]) -> Lexicon:
    """The phones of all words that are letters alone, and of shortened ones; made once.

    Raises:
      FileNotFoundError: flite is not installed.
    """
    if path.is_file():
        return read_lexicon(path)
    plain = {word for word in words if re.fullmatch(r"[a-z]+(?:'[a-z]+)?", word)}
    wanted = sorted({w for w in plain if not w.endswith("'s")} | set(SHORTENED))
    groups = [wanted[i : i + AT_ONCE] for i in range(0, len(wanted), AT_ONCE)]
    with ThreadPoolExecutor() as pool:
        told = tqdm(pool.map(_phones, groups), "pronouncing", len(groups), disable=None)
        found = {word: phones for group in told for word, phones in group if phones}
    write_lexicon(path, found)
    return found


def common_words(manifest: Path) -> set[str]:
    """The words that a corpus has most often."""
    texts = (json.loads(line)["text"] for line in read_lines(manifest))
    counted = Counter(word for text in texts for word in normalize(spell_out(text)).split())
    return {word for word, _ in counted.most_common(N_COMMON)}


def without_some(lexicon: Lexicon, common: Collection[str]) -> Lexicon:
    """A lexicon that lacks a fixed share of its words, but none of the `common` ones.

    Trained with it, a model reads some words as phones and the others as letters, and so learns to
    pronounce words that no lexicon knows.
    """
    return {w: p for w, p in lexicon.items() if w in common or _place(w) >= LEFT_OUT}


def _phones(words: list[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each word with its phones. In one go; if flite joins or splits a word, one at a time."""
    spoken = _speak(", ".join(words))
    if len(spoken) == len(words):
        return zip(words, spoken, strict=True)
    one_by_one = (_speak(word) for word in words)
    joined = (tuple(phone for part in parts for phone in part) for parts in one_by_one)
    return zip(words, joined, strict=True)


def _speak(text: str) -> list[tuple[str, ...]]:
    """The phones between silences."""
    try:
        command = ["flite", "-voice", FASTEST, "-ps", "-t", text, "none"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise FileNotFoundError("flite is not installed: apt-get install flite") from error
    groups = itertools.groupby(done.stdout.split(), lambda phone: phone == SILENCE)
    return [tuple(phones) for is_silence, phones in groups if not is_silence]


def _place(word: str) -> float:
    """A fixed number in [0, 1), evenly distributed over words."""
    return int.from_bytes(hashlib.sha256(word.encode()).digest()[:4]) / 2**32
