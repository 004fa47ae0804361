"""How a word that no dictionary holds is pronounced: by its letters, as a dictionary's words are.

Each letter makes no phone, one or two; a letter with its phones is a unit. A file beside the
tokenizer's vocabulary tells which units follow one another in the words of a dictionary, and how
often. Of all units that spell a word the likeliest sequence pronounces it: the joint n-gram model
of Bisani and Ney, "Joint-sequence models for grapheme-to-phoneme conversion" (2008), with Kneser
and Ney's counts.
"""

import functools
import hashlib
import math
import zipfile
from pathlib import Path

import numpy as np

LETTERS_FILE = "letters.npz"
BEGIN, END = "<", ">"  # letters of the units around a word
ORDER = 5  # units in the longest sequence that is counted
BITS = 10  # of a unit's number in a sequence's key, the newest unit in the lowest ones
MOST_UNITS = 2**BITS - 1
DISCOUNT = 0.8  # of every count, for what follows fewer units
KEPT = 12  # beginnings of a pronunciation, at each letter
MOST_LETTERS = 48  # of a word that is guessed


class LetterSounds:
    """A model of which phones a word's letters make.

    Args:
      units: each a letter and its phones: "x k s", "e" (silent). Their numbers count from 1.
      keys: int64 (K,), rising: sequences of up to `ORDER` units as one number each. All that a
        sequence ends with is there as well.
      counts: (K,) above 0; of Kneser and Ney: how often a sequence of `ORDER` units or one from a
        word's beginning occurs, or else how many units come before it.
    Raises:
      ValueError: the arrays do not fit together.
    """

    def __init__(self, units: tuple[str, ...], keys: np.ndarray, counts: np.ndarray) -> None:
        known = set(units)
        if (
            len(known) != len(units)
            or not {BEGIN, END} <= known
            or not 0 < len(units) <= MOST_UNITS
            or not len(keys) == len(counts) > 0
            or (np.diff(keys) <= 0).any()
            or (counts < 1).any()
        ):
            raise ValueError("units, keys and counts do not fit together")
        self.units, self.keys, self.counts = units, keys, counts
        self._phones = [(), *(tuple(unit.split()[1:]) for unit in units)]
        self._begin, self._end = units.index(BEGIN) + 1, units.index(END) + 1
        self._numbers: dict[str, list[int]] = {}  # by letter
        for number, unit in enumerate(units, 1):
            self._numbers.setdefault(unit[0], []).append(number)

    @functools.cached_property
    def _seen(self) -> dict[int, int]:
        """Counts by key; made for the first word, as most texts have none to guess."""
        return dict(zip(self.keys.tolist(), self.counts.tolist(), strict=True))

    @functools.cached_property
    def _after(self) -> dict[int, tuple[int, int]]:
        """The key of what comes before -> the sum and the number of counts after it."""
        contexts, firsts, kinds = np.unique(
            self.keys >> BITS, return_index=True, return_counts=True
        )
        sums = np.add.reduceat(self.counts.astype(np.int64), firsts)
        return dict(
            zip(contexts.tolist(), zip(sums.tolist(), kinds.tolist(), strict=True), strict=True)
        )

    @property
    def phones(self) -> set[str]:
        """All phones that letters make."""
        return {phone for phones in self._phones for phone in phones}

    @property
    def sha256(self) -> str:
        """Identifies the model."""
        found = hashlib.sha256("\n".join(self.units).encode())
        found.update(np.stack([self.keys, self.counts]).astype("<i8").tobytes())
        return found.hexdigest()

    def pronounce(self, word: str) -> tuple[str, ...] | None:
        """The phones of a lower-case word; None if it has letters that no dictionary's word has,
        more than `MOST_LETTERS`, or no sound."""
        known = set(self._numbers) - {BEGIN, END}
        if not 0 < len(word) <= MOST_LETTERS or not known.issuperset(word):
            return None
        # history -> (log likelihood, phones); the beginnings that end alike go on alike
        kept: dict[int, tuple[float, tuple[str, ...]]] = {self._begin: (0.0, ())}
        newest = (1 << BITS * (ORDER - 1)) - 1
        for letter in [*word, END]:
            longer: dict[int, tuple[float, tuple[str, ...]]] = {}
            for history, (score, phones) in kept.items():
                for unit in self._numbers[letter]:
                    found = score + math.log(self._likelihood(history, unit))
                    after = ((history << BITS) | unit) & newest
                    if after not in longer or found > longer[after][0]:
                        longer[after] = found, phones + self._phones[unit]
            best = sorted(longer.items(), key=lambda item: -item[1][0])[:KEPT]
            kept = dict(best)
        return max(kept.values())[1] or None

    def _likelihood(self, history: int, unit: int) -> float:
        """Of a unit after others: counted after ever more of them, as long as they are known."""
        found = 1 / len(self.units)
        for n_before in range(ORDER):
            if n_before and not history >> BITS * (n_before - 1):
                break  # the word has no more before it
            context = history & ((1 << BITS * n_before) - 1)
            if context not in self._after:
                break
            total, kinds = self._after[context]
            count = self._seen.get(context << BITS | unit, 0)
            found = (max(count - DISCOUNT, 0) + DISCOUNT * kinds * found) / total
        return found


def read_letters(path: Path) -> LetterSounds | None:
    """The model in a file; None if there is none.

    Raises:
      ValueError: it is damaged; named.
    """
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            units = tuple(arrays["units"].tolist())
            keys = arrays["steps"].astype(np.int64).cumsum()
            return LetterSounds(units, keys, arrays["counts"])
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, TypeError) as error:
        raise ValueError(f"{path} does not tell how letters sound: {error}") from error


def write_letters(path: Path, sounds: LetterSounds) -> None:
    """Writes what `read_letters` reads."""
    steps = np.diff(sounds.keys, prepend=0)
    np.savez_compressed(path, units=np.array(sounds.units), steps=steps, counts=sounds.counts)
