"""Learns from a dictionary how letters sound: aligns its words, and counts.

Which letter makes which phones is found by turns: the cheapest alignment of every word, and then
what each unit costs, from how often alignments have it.
"""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from bark_jax.letters import (
    BEGIN,
    BITS,
    END,
    MOST_UNITS,
    ORDER,
    LetterSounds,
    read_letters,
    write_letters,
)
from bark_jax.lexicon import VOWELS, Lexicon

MOST_PHONES = 2  # of one letter
ROUNDS = 5
N_FIRST = 8000  # words that the first rounds look at
RARE = 4  # units in fewer words are odd ones: "ngo", "mpg", "colonel"
UNSEEN = 12.0  # cost of a unit that no alignment has

Unit = tuple[str, tuple[str, ...]]  # a letter and its phones
Cost = Callable[[Unit], float]


def learn_letters(path: Path, lexicon: Lexicon) -> LetterSounds:
    """How the letters of a lexicon's words sound; learnt once, in half a minute.

    Raises:
      ValueError: the words are too few, or have more different units than a file can number.
    """
    if (known := read_letters(path)) is not None:
        return known
    words = sorted(w for w in lexicon if w.isalpha() and VOWELS & set(w))
    random.Random(0).shuffle(words)
    cost = _costs(_by_place(words[:N_FIRST], lexicon))
    for _ in range(ROUNDS):
        cost = _costs(_counted(_alignments(words[:N_FIRST], lexicon, cost)))
    aligned = _alignments(words, lexicon, cost)
    often = {unit for unit, count in _counted(aligned).items() if count >= RARE}
    if not (kept := [units for units in aligned if often.issuperset(units)]):
        raise ValueError(f"lexicon has {len(lexicon)} words, too few to learn spelling from")
    sounds = _model(kept)
    write_letters(path, sounds)
    return sounds


def _by_place(words: Iterable[str], lexicon: Lexicon) -> Mapping[Unit, float]:
    """A first guess at how often units occur: letters make the phones at about their place."""
    guessed: dict[Unit, float] = defaultdict(float)
    for word in words:
        phones = lexicon[word]
        for place, letter in enumerate(word):
            at = place * len(phones) / len(word)
            guessed[letter, ()] += 0.5
            for first in range(len(phones)):
                if abs(first - at) < 1.5:
                    guessed[letter, phones[first : first + 1]] += 1
                if abs(first - at) < 1 and first + 1 < len(phones):
                    guessed[letter, phones[first : first + 2]] += 0.05
    return guessed


def _costs(counts: Mapping[Unit, float]) -> Cost:
    totals: dict[str, float] = defaultdict(float)
    for (letter, _), count in counts.items():
        totals[letter] += count
    costs = {unit: -math.log(count / totals[unit[0]]) for unit, count in counts.items()}
    return lambda unit: costs.get(unit, UNSEEN * (1 + len(unit[1])))


def _alignments(words: Iterable[str], lexicon: Lexicon, cost: Cost) -> list[list[Unit]]:
    return [units for word in words if (units := _alignment(word, lexicon[word], cost))]


def _alignment(word: str, phones: tuple[str, ...], cost: Cost) -> list[Unit]:
    """The cheapest units that spell a word and make its phones; [] if none do."""
    best: dict[int, tuple[float, list[Unit]]] = {0: (0.0, [])}  # by the phones made
    for place, letter in enumerate(word, 1):
        fewest = len(phones) - MOST_PHONES * (len(word) - place)  # or the rest makes too few
        longer: dict[int, tuple[float, list[Unit]]] = {}
        for made, (spent, units) in best.items():
            for after in range(max(made, fewest), min(made + MOST_PHONES, len(phones)) + 1):
                unit = letter, phones[made:after]
                found = spent + cost(unit)
                if after not in longer or found < longer[after][0]:
                    longer[after] = found, [*units, unit]
        best = longer
    return best.get(len(phones), (0.0, []))[1]


def _counted(aligned: Iterable[list[Unit]]) -> Counter[Unit]:
    return Counter(unit for units in aligned for unit in units)


def _model(aligned: Iterable[list[Unit]]) -> LetterSounds:
    named = [[BEGIN, *(" ".join((a, *phones)) for a, phones in units), END] for units in aligned]
    names = sorted({name for row in named for name in row})
    if len(names) > MOST_UNITS:
        raise ValueError(f"the lexicon's letters make {len(names)} units, more than {MOST_UNITS}")
    numbers = {name: number for number, name in enumerate(names, 1)}
    counts = _kneser_ney([[numbers[name] for name in row] for row in named], numbers[BEGIN])
    keys = np.array(sorted(counts), np.int64)
    values = np.array([counts[key] for key in keys.tolist()])
    return LetterSounds(tuple(names), keys, values.astype(np.min_scalar_type(values.max())))


def _kneser_ney(rows: Iterable[list[int]], begin: int) -> Counter[int]:
    """Sequences of units by their keys; see `LetterSounds`."""
    occur: Counter[tuple[int, ...]] = Counter()
    for row in rows:
        occur.update(_parts(row))
    counts: Counter[int] = Counter()
    for part, count in occur.items():
        if len(part) == ORDER or part[0] == begin:
            counts[_key(part)] += count
        if len(part) > 1:
            counts[_key(part[1:])] += 1
    return counts


def _parts(row: list[int]) -> Iterator[tuple[int, ...]]:
    """All sequences of a row that end after its beginning."""
    for end in range(2, len(row) + 1):
        for first in range(max(0, end - ORDER), end):
            yield tuple(row[first:end])


def _key(part: tuple[int, ...]) -> int:
    key = 0
    for number in part:
        key = key << BITS | number
    return key
