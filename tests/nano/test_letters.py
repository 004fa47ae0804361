"""How letters sound, learnt from a dictionary: words held back, and the packaged model's own."""

import random

import pytest

from bark_jax.lexicon import LEXICON_FILE, read_lexicon
from bark_jax.runtime.paths import NANO
from bark_jax.text import Tokenizer
from nano.letters import learn_letters


def distance(meant: tuple[str, ...], made: tuple[str, ...]) -> int:
    from jiwer import process_words

    found = process_words(" ".join(meant), " ".join(made))
    return found.substitutions + found.deletions + found.insertions


@pytest.fixture(scope="module")
def lexicon():
    return read_lexicon(NANO / "tokenizer" / LEXICON_FILE)


def test_spelling_is_learnt_from_a_dictionary(tmp_path, lexicon):
    """From few words: 12 % of the phones are wrong; with all of them it is 4.9 %."""
    words = sorted(word for word in lexicon if word.isalpha() and len(word) > 3)
    random.Random(0).shuffle(words)
    known, unknown = words[:3000], words[3000:3200]
    path = tmp_path / "letters.npz"
    made = learn_letters(path, {word: lexicon[word] for word in known})
    pairs = [(lexicon[word], made.pronounce(word) or ()) for word in unknown]
    wrong = sum(distance(*pair) for pair in pairs) / sum(len(meant) for meant, _ in pairs)
    assert wrong < 0.15
    assert learn_letters(path, {}).sha256 == made.sha256  # learnt once
    with pytest.raises(ValueError, match="lexicon has 1 words, too few"):
        learn_letters(tmp_path / "other.npz", {"cat": ("k", "ae", "t")})


def test_the_packaged_model_pronounces_any_word():
    tokenizer = Tokenizer.from_directory(NANO / "tokenizer")
    assert tokenizer.letters is not None

    def phones(text: str) -> str:
        found = [tokenizer.phone_of(index) for index in tokenizer.encode(text)]
        return " ".join("?" if phone is None else phone[0] for phone in found)

    assert phones("Zuckerberg") == "z uw k er b er g"
    assert phones("zorblax's") == "z ao r b l ae k s ih z"
    assert phones("livestreams'") == phones("livestreams")
    assert phones("xml") == phones("X M L") == "eh k s eh m eh l"
    assert phones("GitHub") == phones("git hub")
