"""Words that no dictionary holds: how their letters sound, by hand-made counts, and the file."""

import numpy as np
import pytest

from bark_jax.letters import (
    BITS,
    DISCOUNT,
    MOST_LETTERS,
    LetterSounds,
    read_letters,
    write_letters,
)

UNITS = ("<", ">", "c k", "c s", "e", "e eh", "x k s")
NUMBERS = {unit: number for number, unit in enumerate(UNITS, 1)}


def key(*units: str) -> int:
    made = 0
    for unit in units:
        made = made << BITS | NUMBERS[unit]
    return made


COUNTS = {
    key(">"): 2, key("c k"): 2, key("c s"): 1, key("e"): 3, key("e eh"): 1, key("x k s"): 2,
    key("c s", "e eh"): 4, key("<", "c k"): 3, key("e eh", "x k s"): 1,
}  # fmt: skip


def sounds(counts=COUNTS) -> LetterSounds:
    keys = np.array(sorted(counts))
    return LetterSounds(UNITS, keys, np.array([counts[k] for k in keys], np.uint8))


def by_hand(*units: str) -> float:
    """The likelihood of a word's units where at most the two newest were counted together."""
    total, kinds = 11, 6
    found, before = 1.0, "<"
    for unit in (*units, ">"):
        one = (max(COUNTS.get(key(unit), 0) - DISCOUNT, 0) + DISCOUNT * kinds / len(UNITS)) / total
        after = {pair: n for pair, n in COUNTS.items() if pair >> BITS == NUMBERS[before]}
        if after:
            count = max(after.get(key(before, unit), 0) - DISCOUNT, 0)
            one = (count + DISCOUNT * len(after) * one) / sum(after.values())
        found, before = found * one, unit
    return found


@pytest.mark.parametrize("word", ["c", "ce", "cex", "ec", "xcec", "ee"])
def test_the_likeliest_units_pronounce_a_word(word):
    choices = [()]
    for letter in word:
        choices = [(*c, unit) for c in choices for unit in UNITS if unit[0] == letter]
    best = max(choices, key=lambda units: by_hand(*units))
    phones = tuple(phone for unit in best for phone in unit.split()[1:])
    assert sounds().pronounce(word) == (phones or None)


@pytest.mark.parametrize("word", ["", "cab", "<", "e" * (MOST_LETTERS + 1)])
def test_what_is_no_word_of_these_letters_has_no_sound(word):
    assert sounds().pronounce(word) is None


def test_longer_words_are_pronounced_whole():
    assert sounds().pronounce("x" * MOST_LETTERS) == ("k", "s") * MOST_LETTERS


def test_the_file_brings_back_the_model(tmp_path):
    path, made = tmp_path / "letters.npz", sounds()
    assert read_letters(path) is None
    write_letters(path, made)
    again = read_letters(path)
    assert again is not None and again.pronounce("cex") == made.pronounce("cex")
    assert again.sha256 == made.sha256 != sounds(COUNTS | {key("e"): 9}).sha256
    assert made.phones == {"k", "s", "eh"}


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"units": np.array(["e"]), "steps": np.array([1]), "counts": np.array([1])},
        {"units": np.array(UNITS), "steps": np.array([1, 0]), "counts": np.array([1, 1])},
        {"units": np.array(UNITS), "steps": np.array([1]), "counts": np.array([0])},
        {"units": np.array(UNITS), "steps": np.array([1, 1]), "counts": np.array([1])},
    ],
)
def test_a_damaged_file_is_named(tmp_path, arrays):
    path = tmp_path / "letters.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=r"letters\.npz does not tell how letters sound"):
        read_letters(path)
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match=r"letters\.npz does not tell how letters sound"):
        read_letters(path)
