"""Texts to pieces: whole sentences in all of Bark's languages, and not a character lost."""

import random

import pytest

from bark_jax.config import TokenLayout
from bark_jax.long.languages import LANGUAGES, guess_language
from bark_jax.long.seconds import TAG, seconds_of
from bark_jax.long.sentences import split_sentences
from bark_jax.long.splitting import Limits, split_text
from tests.long.texts import ESPEAK_S, SENTENCES, TEXTS
from tests.tiny import LAYOUT, PIECES

WIDE, NARROW = Limits(most_s=9.0, short_s=2.0), Limits(most_s=3.0, short_s=0.8)


def joined(text, pieces):
    """What the pieces stand for."""
    return "".join(text[piece.begin : piece.end] for piece in pieces)


def said(text, **options):
    return [piece.text for piece in split_text(text, **options)]


def test_the_held_texts_are_in_barks_languages():
    assert set(TEXTS) == set(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_are_those_that_are_marked(language):
    assert split_sentences(TEXTS[language], language) == SENTENCES[language]


@pytest.mark.parametrize("language", LANGUAGES)
def test_pieces_joined_are_the_text_and_end_where_sentences_end(language):
    text, end, ends = TEXTS[language], 0, set()
    for sentence in SENTENCES[language]:
        end += len(sentence)
        ends.add(end)
    pieces = split_text(text, limits=WIDE)
    assert joined(text, pieces) == text
    assert {piece.end for piece in pieces} <= ends
    assert all(piece.seconds <= WIDE.most_s for piece in pieces)


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_that_are_too_long_are_cut_and_nothing_is_lost(language):
    text = TEXTS[language]
    pieces = split_text(text, limits=NARROW)
    assert joined(text, pieces) == text
    assert all(piece.seconds <= NARROW.most_s for piece in pieces)
    cut_words = "".join("".join(piece.text for piece in pieces).replace("♪", "").split())
    assert cut_words == "".join(text.replace("♪", "").split())


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_tells_its_language(language):
    assert guess_language(TEXTS[language]) == language


def test_a_preset_tells_the_language_before_the_text_does():
    assert guess_language("hello", "v2/de_speaker_3") == "de"
    assert guess_language("", "announcer") == "en"


@pytest.mark.parametrize("language", sorted(ESPEAK_S))
def test_estimated_seconds_are_those_of_espeak(language):
    """Of natural speech nothing is nearer: readers differ by a quarter from each other."""
    text = TAG.sub(" ", TEXTS[language]).replace("♪", "")
    assert seconds_of(text) == pytest.approx(ESPEAK_S[language], rel=0.25)


def test_tags_songs_and_slower_voices_take_time():
    assert seconds_of("[laughs]") > 0.5
    assert seconds_of("♪ one two three ♪") > 1.3 * seconds_of("one two three")
    assert seconds_of("one two", 10.0) == pytest.approx(1.5 * seconds_of("one two", 15.0))


def test_short_sentences_are_merged_and_single_ones_can_be_asked_for():
    text = "hello there. how are you? fine."
    assert said(text) == ["hello there. how are you? fine."]
    assert said(text, merge=False) == ["hello there.", "how are you?", "fine."]


def test_cuts_are_at_commas_rather_than_in_words_and_never_in_names_or_tags():
    text = (
        "we walked along the river for an hour, and then Mr. J. R. Brown came [clears throat] home"
    )
    pieces = said(text, limits=Limits(most_s=4.0, short_s=0.5))
    assert pieces[0] == "we walked along the river for an hour,"
    assert any("Mr. J. R. Brown" in piece for piece in pieces)
    assert any("[clears throat]" in piece for piece in pieces)


def test_a_part_of_a_long_song_is_still_sung():
    song = "♪ in the jungle the mighty jungle, the lion sleeps tonight ♪"
    pieces = said(song, limits=Limits(most_s=4.0, short_s=0.5))
    assert len(pieces) > 1
    assert all(piece.startswith("♪ ") and piece.endswith(" ♪") for piece in pieces)


def test_speakers_have_lines_that_are_split_once():
    text = "Anna: I said: wait!\nBen Lee: no.\nnote: not a name\n\nThey left.\nMAN: hello\n"
    pieces = split_text(text, speakers=["Anna", "Ben Lee"])
    assert joined(text, pieces) == text
    assert [(piece.speaker, piece.text) for piece in pieces] == [
        ("Anna", "I said: wait!"),
        ("Ben Lee", "no. note: not a name"),
        (None, "They left."),
        ("MAN", "MAN: hello"),
    ]


def test_a_models_limits_are_those_of_its_config():
    from bark_jax.text import Tokenizer

    tokenizer = Tokenizer({piece: i for i, piece in enumerate(PIECES)})
    limits = Limits.of(LAYOUT, tokenizer)
    assert limits.most_s == pytest.approx(0.8 * 40 / 9.7)  # semantic tokens over their rate
    assert limits.holds("abc def ghij") and not limits.holds("abcdefghijklm")  # 12 tokens of text
    assert Limits.of(TokenLayout(), tokenizer).most_s == pytest.approx(12.3, abs=0.1)
    assert max(map(len, said("abc " * 20, limits=limits))) <= 15


@pytest.mark.parametrize("seed", range(3))
def test_no_text_loses_a_character(seed):
    """Any mixture of what can confuse a splitter, line ends of all kinds among them."""
    rng = random.Random(seed)
    parts = [*"aB. !?\"'“”「」。！？।♪[](){}\n\t\r3,:;—…\u2028\x0b\u00a0\u3000漢かश़é\u0301"]
    parts += ["Dr. ", "J. ", "MAN: ", "p.m. ", "\n\n", " \n", "\r\n\r\n", "😀", "[laughs]"]
    for _ in range(500):
        text = "a " + "".join(rng.choices(parts, k=rng.randint(1, 90)))
        for language in ("en", "zh"):
            pieces = split_text(text, language=language, limits=Limits(most_s=1.5, short_s=0.4))
            assert joined(text, pieces) == text
            assert all(piece.text for piece in pieces)


def test_nothing_to_say_gives_no_pieces():
    assert split_text(" \n … \n") == []


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match="language='xx' is not one of"):
        split_text("a", language="xx")
