"""Whitespace, WordPiece, the padded ids, and every way in which text can be wrong."""

import dataclasses
import warnings

import numpy as np
import pytest

from bark_jax.config import TokenLayout
from bark_jax.text import Tokenizer, encode_text, normalize_whitespace

PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "hello",
    "##s",
    "é",
    "你",
    ",",
    "[",
    "]",
    "x",
    "'",
]
LAYOUT = TokenLayout(text_length=6, text_encoding_offset=100, text_pad_token=100 + len(PIECES))


@pytest.fixture
def tokenizer(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    return Tokenizer.from_directory(tmp_path)


@pytest.mark.parametrize(
    "text, normalized",
    [
        ("  a \t\n b ", "a b"),
        ("a\u00a0b\u3000c", "a b c"),
        ("a\x1c\x1d\x1e\x1f\x85\u2028b", "a b"),
        ("a\u200bb", "a\u200bb"),  # zero-width space is none
        ("", ""),
        ("\u00a0\u3000", ""),
    ],
)
def test_whitespace_runs_become_one_space(text, normalized):
    assert normalize_whitespace(text) == normalized


@pytest.mark.parametrize(
    "text, pieces",
    [
        ("hello", ["hello"]),
        ("hellos", ["hello", "##s"]),
        ("Hello", ["[UNK]"]),  # cased
        ("你你hello", ["你", "你", "hello"]),
        ("hello,x", ["hello", ",", "x"]),
        ("e\u0301", ["é"]),  # composed first
        ("[hello] [MASK]", ["[", "hello", "]", "[MASK]"]),
        ("hel\x00lo\ufffd", ["hello"]),
        ("z" * 50, ["[UNK]"]),
        ("\x07", []),
    ],
)
def test_word_pieces(tokenizer, text, pieces):
    assert tokenizer.encode(text) == [PIECES.index(piece) for piece in pieces]


@pytest.mark.parametrize(
    "settings, pieces", [('{"do_lower_case": true}', ["hello", "##s"]), ("{}", ["[UNK]"])]
)
def test_a_vocabulary_may_say_that_it_is_lower_case(tmp_path, tokenizer, settings, pieces):
    (tmp_path / "tokenizer_config.json").write_text(settings)
    told = Tokenizer.from_directory(tmp_path)
    assert told.encode("HELLOs") == [PIECES.index(piece) for piece in pieces]
    assert told.sha256 == tokenizer.sha256


def test_settings_of_a_tokenizer_must_be_an_object(tmp_path, tokenizer):
    (tmp_path / "tokenizer_config.json").write_text("[]")
    with pytest.raises(ValueError, match=r"tokenizer_config\.json: it is not "):
        Tokenizer.from_directory(tmp_path)


def test_ids_are_offset_and_padded(tokenizer):
    ids_T = encode_text(tokenizer, " hello \n x ", LAYOUT)
    assert ids_T.dtype == np.int32
    assert ids_T.tolist() == [105, 112, 114, 114, 114, 114]


def test_text_that_fits_exactly_gives_no_warning(tokenizer, caplog):
    assert encode_text(tokenizer, "x " * 6, LAYOUT).tolist() == [112] * 6
    assert not caplog.records


@pytest.mark.parametrize("n_tokens, lost", [(7, "14.3%"), (8, "25.0%"), (600, "99.0%")])
def test_long_text_loses_its_end_with_a_warning(tokenizer, caplog, n_tokens, lost):
    with pytest.warns(UserWarning, match=f"text is too long: its last {lost} are lost"):
        ids_T = encode_text(tokenizer, "hello " + "x " * (n_tokens - 1), LAYOUT)
    assert ids_T.tolist() == [105] + [112] * 5
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert f"text is too long: its last {lost} are lost" in record.getMessage()


@pytest.mark.parametrize(
    "text, said",
    [
        (
            "hello Hello 🙂, \uff48\uff49 x hello Hello",
            "4 of the text's 8 words (50%): 'Hello', '🙂', '\uff48\uff49'",
        ),
        ("hello " + "x" * 10_000, f"1 of the text's 2 words (50%): '{'x' * 24}…'"),
        (
            " ".join("abcdefghijk"),
            "11 of the text's 11 words (100%): 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h' and 3 more",
        ),
    ],
)
def test_unknown_words_are_named_in_one_warning(tokenizer, text, said):
    layout = dataclasses.replace(LAYOUT, text_length=20)
    with pytest.warns(UserWarning) as warned:
        encode_text(tokenizer, text, layout)
    (one,) = warned
    assert str(one.message) == f"the model does not know {said}"
    assert one.filename == __file__  # the line that asked for it, not one of ours


def test_known_words_give_no_warning(tokenizer):
    with warnings.catch_warnings(action="error"):
        encode_text(tokenizer, "hellos , é", LAYOUT)


def test_typographic_marks_become_plain_where_the_vocabulary_has_only_those(tokenizer):
    assert tokenizer.encode("x\u2019x \u2018x") == tokenizer.encode("x'x 'x")
    assert tokenizer.encode("\u201cx") == [1, PIECES.index("x")]  # no plain quote either
    curly = {piece: index for index, piece in enumerate([*PIECES, "\u2019"])}
    assert Tokenizer(curly).encode("x\u2019x")[1] == curly["\u2019"]


def test_text_must_be_a_str(tokenizer):
    with pytest.raises(TypeError, match="text must be a str, got list"):
        encode_text(tokenizer, ["hello"], LAYOUT)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("text", ["", " \n\u3000"])
def test_empty_text_is_refused(tokenizer, text):
    with pytest.raises(ValueError, match="text is empty"):
        encode_text(tokenizer, text, LAYOUT)


def test_text_without_tokens_is_refused(tokenizer):
    with pytest.raises(ValueError, match="gives no token"):
        encode_text(tokenizer, "\x07\u200b", LAYOUT)


def test_text_that_is_no_unicode_is_refused(tokenizer):
    with pytest.raises(ValueError, match="text is not valid Unicode"):
        encode_text(tokenizer, "a\ud800", LAYOUT)


def test_token_outside_the_model_is_refused(tokenizer):
    small = TokenLayout(text_encoding_offset=100, text_pad_token=110)
    assert encode_text(tokenizer, ",", small)[0] == 109
    with pytest.raises(ValueError, match="gives token 10, but the model knows 10 text tokens"):
        encode_text(tokenizer, "[", small)


def test_missing_vocabulary_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"vocab\.txt is missing"):
        Tokenizer.from_directory(tmp_path)


@pytest.mark.parametrize(
    "content, match", [(b"[UNK]\nhello\n", "lacks .CLS. .SEP."), (b"\xff", "")]
)
def test_file_that_is_no_vocabulary_is_refused(tmp_path, content, match):
    (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(ValueError, match=f"is not a WordPiece vocabulary: .*{match}"):
        Tokenizer.from_directory(tmp_path)


def test_vocabulary_with_windows_line_ends(tmp_path):
    (tmp_path / "vocab.txt").write_bytes("\r\n".join(PIECES).encode() + b"\r\n")
    assert Tokenizer.from_directory(tmp_path).encode("hello") == [5]


def test_a_text_far_longer_than_a_model_reads_is_refused_at_once(tokenizer):
    with pytest.raises(ValueError, match=r"text has 10,000,000 characters, want at most 100,000"):
        encode_text(tokenizer, "x" * 10**7, LAYOUT)
