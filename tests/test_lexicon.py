"""Words as phones: the file, possessives, and what the tokenizer makes of them."""

import pytest

from bark_jax.lexicon import ENDINGS, pronounce, read_lexicon, write_lexicon
from bark_jax.text import TextSettings, Tokenizer

LEXICON = {
    "tom": ("t", "aa", "m"), "cat": ("k", "ae", "t"), "bus": ("b", "ah", "s"),
    "tomato": ("t", "ax", "m", "ey", "t", "ow"), "o'clock": ("ax", "k", "l", "aa", "k"),
}  # fmt: skip
PHONES = sorted({p for phones in LEXICON.values() for p in phones} | {*ENDINGS})
PIECES = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", ",", "'",
    *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"),
    *(f"<{phone}>" for phone in PHONES), *(f"##<{phone}>" for phone in PHONES),
]  # fmt: skip
VOCAB = {piece: index for index, piece in enumerate(PIECES)}


@pytest.mark.parametrize(
    "word, phones",
    [
        ("cat", "k ae t"), ("cat's", "k ae t s"), ("tom's", "t aa m z"), ("bus's", "b ah s ih z"),
        ("cats'", None), ("bus'", "b ah s"), ("dog", None), ("dog's", None), ("'s", None),
    ],
)  # fmt: skip
def test_possessives_follow_from_their_owner(word, phones):
    assert pronounce(word, LEXICON) == (phones and tuple(phones.split()))


class Spoken:
    """Says a word's letters."""

    phones = frozenset("dogxt")
    sha256 = "letters"

    def pronounce(self, word):
        return tuple(word)


@pytest.mark.parametrize(
    "word, phones",
    [
        ("cat", "k ae t"), ("dog", "d o g"), ("dog's", "d o g z"), ("to's", "t o z"),
        ("doxs'", "d o x s"), ("o'dog", "o d o g"), ("xx", "e x e x"),
        ("xt", None), ("xxxxxx", "x x x x x x"),
    ],
)  # fmt: skip
def test_unknown_words_are_guessed_and_abbreviations_spelt(word, phones):
    lexicon = {**LEXICON, "x": ("e", "x")}
    assert pronounce(word, lexicon, Spoken()) == (phones and tuple(phones.split()))  # pyright: ignore


def test_known_words_are_phones_and_others_letters(tmp_path):
    tokenizer = Tokenizer(VOCAB, TextSettings(is_lower_case=True, spells_out=True), LEXICON)
    pieces = [PIECES[index] for index in tokenizer.encode("Tom\u2019s cat, at 5")]
    assert pieces == [
        "<t>", "##<aa>", "##<m>", "##<z>", "<k>", "##<ae>", "##<t>", ",", "a", "##t",
        "f", "##i", "##v", "##e",
    ]  # fmt: skip
    assert tokenizer.unknown_words("Tom <t> ☃") == ([], 2)  # what is left out is no word
    tokenizer.save(tmp_path)
    again = Tokenizer.from_directory(tmp_path)
    assert (again.settings, again.lexicon) == (tokenizer.settings, LEXICON)
    assert again.encode("tomato o'clock") == tokenizer.encode("tomato o'clock")
    plain = Tokenizer(VOCAB)
    others = [plain, Tokenizer(VOCAB, TextSettings(spells_out=True)), Tokenizer(VOCAB, lexicon=LEXICON)]  # noqa: E501  # fmt: skip
    assert len({tokenizer.sha256, *(other.sha256 for other in others)}) == 4
    assert again.sha256 == tokenizer.sha256


def test_no_text_is_mistaken_for_a_phone():
    tokenizer = Tokenizer(VOCAB, lexicon=LEXICON)
    assert not set(tokenizer.encode("a<t>b ##<t>")) & {VOCAB["<t>"], VOCAB["##<t>"]}


def test_phones_must_be_in_the_vocabulary():
    with pytest.raises(ValueError, match=r"lacks phones of the lexicon: ##<oy> <oy>$"):
        Tokenizer(VOCAB, lexicon={"boy": ("b", "oy")})


def test_lexicon_files(tmp_path):
    path = tmp_path / "lexicon.txt"
    assert read_lexicon(path) == {}
    write_lexicon(path, LEXICON)
    assert read_lexicon(path) == LEXICON
    assert path.read_text().startswith("bus b ah s\ncat k ae t\n")
    path.write_text("cat k ae t\n\ndog\n")
    with pytest.raises(ValueError, match=r"lexicon\.txt, line 3: 'dog' has no phones"):
        read_lexicon(path)
    path.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="is not a pronouncing dictionary"):
        read_lexicon(path)
