"""Lists of recordings: what is understood, and what is said about the rest."""

import json

import pytest

from bark_jax.preparation.corpus import Phone, read_corpus, read_phones


def write(tmp_path, content, name="corpus.jsonl"):
    path = tmp_path / name
    if not isinstance(content, str):
        content = "".join(json.dumps(row) + "\n" for row in content)
    path.write_text(content, encoding="utf-8")
    return path


def test_rows_are_read_with_paths_beside_the_list(tmp_path):
    rows = [
        {"audio": "a/one.wav", "text": "  Hello \u2028 there "},
        {"audio": "/two.flac", "text": "b", "id": "2", "speaker": "s", "semantic": "t/2.npy"},
        {"audio": "3.wav", "text": "c", "phones": "pau:0.25 hh:0.5", "mood": "good"},
    ]
    path = write(tmp_path, "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    corpus = read_corpus(path)
    one, two, three = corpus.utterances
    assert (one.id, one.text, one.speaker) == ("a/one", "Hello there", "")
    assert one.audio == tmp_path / "a" / "one.wav"
    assert (two.id, two.speaker, two.semantic) == ("2", "s", tmp_path / "t" / "2.npy")
    assert str(two.audio) == "/two.flac"
    assert three.phones == (Phone("pau", 0, 0.25), Phone("hh", 0.25, 0.5))
    assert corpus.unused_fields == ("mood",)
    assert corpus.skipped == ()


def test_csv_says_the_same(tmp_path):
    rows = [
        {"audio": "a.wav", "text": 'say "hi", you', "phones": "a:1"},
        {"audio": "b", "text": "b"},
    ]
    csv = 'audio,text,phones,speaker\na.wav,"say ""hi"", you",a:1,\nb,b,,\n'
    from_csv = read_corpus(write(tmp_path, "\ufeff" + csv, "corpus.csv"))
    assert from_csv.utterances == read_corpus(write(tmp_path, rows)).utterances


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("not json", "it is not JSON"),
        ("[1]", "it is not a JSON object but list"),
        ('"text"', "it is not a JSON object but str"),
        ('{"audio": "a.wav"}', "it has no 'text'"),
        ('{"text": "a"}', "it has no 'audio'"),
        ('{"audio": "", "text": "a"}', "its 'audio' is empty"),
        ('{"audio": "a.wav", "text": 3}', "its 'text' is 3, want text"),
        ('{"audio": "good.wav", "text": "again"}', "its id 'good' is taken"),
        ('{"audio": "a.wav", "text": "a", "phones": "a:x"}', "want a name and an end in seconds"),
    ],
)
def test_a_bad_row_is_skipped_with_its_line_and_reason(tmp_path, row, reason):
    path = write(tmp_path, '{"audio": "good.wav", "text": "good"}\n' + row)
    corpus = read_corpus(path)
    assert [utterance.id for utterance in corpus.utterances] == ["good"]
    (skipped,) = corpus.skipped
    assert skipped.id == "line 2"
    assert reason in skipped.reason


def test_a_csv_row_with_too_many_cells_is_skipped(tmp_path):
    corpus = read_corpus(write(tmp_path, "audio,text\na,hello, you\nb,b\n", "c.csv"))
    assert [utterance.id for utterance in corpus.utterances] == ["b"]
    assert "more cells than the header" in corpus.skipped[0].reason


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.jsonl", "", r"has no usable row; 0 were skipped"),
        (
            "c.jsonl",
            "{}\n{}",
            r"no usable row; 2 were skipped; the first: line 1: it has no 'audio'",
        ),
        ("c.csv", "audio,text\n", "has no usable row"),
        ("c.txt", "a", "must end in .jsonl or .csv"),
    ],
)
def test_a_list_without_rows_is_refused(tmp_path, name, content, message):
    with pytest.raises(ValueError, match=message):
        read_corpus(write(tmp_path, content, name))


def test_files_that_are_no_lists_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"manifest='.*none.jsonl' is not a file"):
        read_corpus(tmp_path / "none.jsonl")
    (tmp_path / "latin.csv").write_bytes(b"audio,text\na,\xe9\n")
    with pytest.raises(ValueError, match="is not UTF-8"):
        read_corpus(tmp_path / "latin.csv")


@pytest.mark.parametrize(
    "value", ["a:1 b:1", [["a", 2.0], ["b", 1.0]], "a:0", ":1", "a:nan", [["a"]]]
)
def test_phones_whose_times_make_no_sense_are_refused(value):
    with pytest.raises(ValueError, match="phones has"):
        read_phones(value)


def test_phones_may_be_a_list_and_have_colons():
    assert read_phones([["a:b", 0.5]]) == (Phone("a:b", 0, 0.5),) == read_phones("a:b:0.5")
