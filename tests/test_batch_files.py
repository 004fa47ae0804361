"""Files of lines to files of audio: reading, resuming, bad lines, parts, solo runs."""

import json
import os

import numpy as np
import pytest
import soundfile

from bark_jax import Bark
from bark_jax.batch_files import Line, read_lines, speak_lines
from bark_jax.cli.command import main
from bark_jax.config import TRANSFORMERS
from bark_jax.runtime.lines import read_rows
from bark_jax.runtime.locks import InUseError, held_alone
from bark_jax.sampling_config import BARK, SamplingConfig

SHORT = SamplingConfig.of({"semantic": {"max_duration_s": 0.3}})


@pytest.fixture(scope="module")
def untrained():
    return Bark.from_pretrained("untrained")


def read(path, **kwargs):
    return read_lines(path, **{"voice": None, "seed": 5, "sampling": SHORT} | kwargs)


def rows_of(folder):
    return [
        json.loads(row)
        for record in sorted(folder.glob("results*.jsonl"))
        for row in record.read_text().split("\n")[:-1]
    ]


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("one\n\ntwo words\nthree more words\nfour\nfive of them\n", encoding="utf-8")
    return read(path)


def test_plain_text_gives_numbered_lines(lines):
    assert [line.id for line in lines] == ["000000", "000002", "000003", "000004", "000005"]
    assert [line.seed for line in lines] == [5, 7, 8, 9, 10]
    assert lines[0].sampling == SHORT.plain()


def test_json_lines_say_what_differs(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text(
        '{"text": "one", "id": "a", "seed": 1}\n'
        '{"text": "two", "sampling": {"fine": {"temperature": 0}}}\n'
    )
    first, second = read(path)
    assert (first.id, first.seed, first.sampling) == ("a", 1, SHORT.plain())
    assert (second.id, second.seed, second.sampling["fine"]["temperature"]) == ("000001", 6, 0)
    own = SamplingConfig.of({"fine": {"temperature": 0.2}, "coarse": {"temperature": 0.3}})
    settled = second.settled(own.over(BARK)).sampling
    assert [settled[s]["temperature"] for s in TRANSFORMERS] == [0.7, 0.3, 0]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"text": 1}', 'line 1: want a JSON object with a "text"'),
        ('{"key": 1}', 'line 1: want a JSON object with a "text"'),
        ("not json", "line 1: it is not JSON: Expecting value"),
        ("5", "line 1: it is not a JSON object but int"),
        ("[" * 100_000, "line 1: it is nested too deeply"),
        ('{"text": "a", "speed": 2}', "line 1: unknown fields ['speed']"),
        ('{"text": "a", "id": "../b"}', "line 1: id='../b' is taken or is not a file name"),
        ('{"text": "a", "id": "%s"}' % ("漢" * 90), "has 270 bytes, want at most 200"),
        ('{"text": "a", "seed": -1}', "line 1: seed=-1 is not allowed"),
        ('{"text": "a", "seed": true}', "line 1: seed=True is not allowed"),
        ('{"text": "a", "seed": 7.5}', "line 1: seed=7.5 is not allowed"),
        (
            '{"text": "a", "sampling": 5}',
            "line 1: sampling wants a SamplingConfig or a dict",
        ),
        ('{"text": "a", "guidance": {"scale": 2}}', "line 1: guidance names no other condition"),
        ('{"text": "a", "sampling": {"fine": {"temperature": -1}}}', "fine.temperature=-1"),
        (
            '{"text": "a", "sampling": {"fine": {"temperature": 1%s}}}' % ("0" * 400),
            "is not allowed; want a number in 0 … 1e30",
        ),
    ],
)
def test_a_bad_line_is_named_and_the_others_go_on(tmp_path, content, problem):
    path = tmp_path / "lines.jsonl"
    path.write_text(f'{content}\n{{"text": "good", "id": "b"}}\n', encoding="utf-8")
    bad, good = read(path)
    assert problem in (bad.problem or "")
    assert bad.id == "000000" and (good.id, good.problem) == ("b", None)


def test_an_id_that_is_taken_is_a_problem_of_the_second_line(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text('{"text": "a", "id": "b"}\n{"text": "c", "id": "b"}\n')
    first, second = read(path)
    assert (first.id, first.problem, second.id) == ("b", None, "000001")
    assert "line 2: id='b' is taken" in str(second.problem)


def test_a_number_that_is_taken_names_no_second_line(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text('{"text": "a", "id": "000001"}\n{"text": "b"}\n{"text": 5, "id": "000001_"}\n')
    assert [line.id for line in read(path)] == ["000001", "000001_", "000002"]


def test_null_is_not_given_and_a_whole_float_is_whole(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text(
        '{"text": "a", "id": null, "seed": null, "voice": null, "sampling": null}\n'
        '{"text": "b", "seed": 7.0}\n'
    )
    first, second = read(path, voice="v", seed=3)
    assert (first.id, first.seed, first.voice, first.problem) == ("000000", 3, "v", None)
    assert first.sampling["semantic"]["max_duration_s"] == 0.3
    assert (second.seed, type(second.seed), second.problem) == (7, int, None)


def test_combining_marks_name_files_in_their_composed_form(tmp_path):
    path = tmp_path / "lines.jsonl"
    rows = [{"text": "a", "id": "e\u0301"}, {"text": "b", "id": "हिन्दी"}, {"text": "c", "id": "é"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = read(path)
    assert [line.id for line in lines] == ["é", "हिन्दी", "000002"]
    assert "is taken" in str(lines[2].problem)


@pytest.mark.parametrize("name", ["lines.txt", "lines.jsonl", "LINES.JSONL"])
def test_lines_end_at_line_feeds_only(tmp_path, name):
    """U+2028, U+0085, vertical tab, form feed and file separators are part of a text."""
    text = "good\u2028morning\x85my\x0b\x0cbrother\x1c"
    is_json = name.lower().endswith("jsonl")
    line = json.dumps({"text": text}, ensure_ascii=False) if is_json else text
    path = tmp_path / name
    path.write_bytes(b"\xef\xbb\xbf" + f"{line}\r\n{line}".encode())
    assert [row.text for row in read(path)] == [text, text]


def test_what_was_written_is_read_back_and_nothing_is_made_twice(tmp_path, untrained):
    """A text with U+2028, one with half a surrogate pair, and a torn last row."""
    path, out = tmp_path / "lines.jsonl", tmp_path / "out"
    rows = [
        {"id": "a", "text": "good\u2028morning"},
        {"id": "b", "text": "good night \ud83d"},
        {"id": "c", "text": "two"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out.mkdir()
    (out / "results.jsonl").write_text('{"id": "a", "key": "4da0')
    first = speak_lines(untrained, read(path), out, model="m", batch_rows=2)
    assert (first.n_made, len(first.errors)) == (2, 1)
    assert "b: text is not valid Unicode" in first.errors[0]
    again = speak_lines(untrained, read(path), out, model="m", batch_rows=2)
    assert (again.n_made, again.n_skipped, len(again.errors)) == (0, 2, 1)
    found = read_rows(out / "results.jsonl")
    assert sorted(row["id"] for row in found if "key" in row) == ["a", "c"]
    assert next(row["text"] for row in found if row["id"] == "a") == "good\u2028morning"


def test_strange_rows_in_the_record_are_passed_over(tmp_path, untrained, lines):
    record = tmp_path / "results.jsonl"
    record.write_bytes(b'5\n{"key": 1}\n{"id": 3, "key": "x"}\n\xff\xfe\n[1]\n')
    assert speak_lines(untrained, lines[:1], tmp_path, model="m").n_made == 1
    assert speak_lines(untrained, lines[:1], tmp_path, model="m").n_skipped == 1


def test_two_runs_on_one_folder_are_told(tmp_path, untrained, lines):
    with held_alone(tmp_path / "results.jsonl"):
        with pytest.raises(InUseError, match=rf"in use by process {os.getpid()} on .*, since 20"):
            speak_lines(untrained, lines, tmp_path, model="m")
    assert speak_lines(untrained, lines[:1], tmp_path, model="m").n_made == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no lines to speak"),
        ("eins\nzwei für".encode("latin-1"), r"lines.txt, line 2: byte 0xfc is not UTF-8; save"),
        ("one".encode("utf-16"), r"lines.txt is in UTF-16: save it as UTF-8"),
    ],
)
def test_files_without_lines_or_in_other_encodings_are_refused(tmp_path, content, message):
    path = tmp_path / "lines.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read(path)


def test_every_line_gets_the_audio_that_it_gives_alone(tmp_path, untrained, lines):
    outcome = speak_lines(untrained, lines, tmp_path / "out", model="m", batch_rows=2)
    assert (outcome.n_made, outcome.n_skipped, outcome.errors) == (5, 0, [])
    assert {row["id"] for row in rows_of(tmp_path / "out")} == {line.id for line in lines}
    for line in (lines[0], lines[3]):
        audio, rate = soundfile.read(tmp_path / "out" / f"{line.id}.wav", dtype="float32")
        alone = untrained.generate(line.text, seed=line.seed, sampling=line.sampling)
        assert rate == untrained.sample_rate
        np.testing.assert_allclose(audio, alone.audio, atol=1e-5)  # equal codes; sums in batches


def test_a_line_may_be_guided(tmp_path, untrained):
    path = tmp_path / "lines.jsonl"
    path.write_text('{"text": "one", "guidance": {"text": "", "scale": 3}}\n{"text": "one"}\n')
    guided, plain = read(path)
    speak_lines(untrained, [guided, plain], tmp_path / "out", model="m", batch_rows=2)
    made = [soundfile.read(tmp_path / "out" / f"{line.id}.wav")[0] for line in (guided, plain)]
    options = {"seed": guided.seed, "sampling": guided.sampling}
    alone = untrained.generate("one", guidance={"text": "", "scale": 3}, **options)
    np.testing.assert_allclose(made[0], alone.audio, atol=1e-5)
    unguided = untrained.generate("one", **options)
    assert not np.array_equal(alone.semantic, unguided.semantic)
    assert "guidance" not in plain.content()  # and so the keys of earlier runs still hold


def test_a_second_run_makes_what_is_missing_or_has_changed(tmp_path, untrained, lines):
    out = tmp_path / "out"
    speak_lines(untrained, lines[:2], out, model="m", batch_rows=2)
    with (out / "results.jsonl").open("a") as record:
        record.write('{"id": "0000')  # killed while writing
    (out / f"{lines[1].id}.wav").unlink()
    changed = Line(lines[0].id, "other", None, 1, lines[0].sampling)
    assert speak_lines(untrained, lines[:1], out, model="m").n_skipped == 1
    assert speak_lines(untrained, lines[1:2], out, model="m").n_made == 1
    assert speak_lines(untrained, [changed], out, model="m").n_made == 1
    assert speak_lines(untrained, lines[:1], out, model="another").n_made == 1


def test_a_line_that_cannot_be_spoken_is_recorded_and_the_rest_goes_on(tmp_path, untrained, lines):
    mute = Line("mute", "  ", None, 0, lines[0].sampling)
    unknown = Line("unknown", "hello", "nobody", 0, lines[0].sampling)
    outcome = speak_lines(untrained, [mute, lines[0], unknown], tmp_path, model="m")
    assert outcome.n_made == 1
    assert len(outcome.errors) == 2
    assert {row["id"] for row in rows_of(tmp_path) if "error" in row} == {"mute", "unknown"}


def test_the_command_line_says_what_it_did(tmp_path, capsys):
    path = tmp_path / "lines.txt"
    path.write_text("one\n   x\ntwo\n")
    command = ["--batch-file", str(path), "--out-dir", str(tmp_path / "out")]
    short = ["--model", "untrained", "--max-duration", "0.3", "--batch-size", "2"]
    assert main([*command, *short]) == 0
    assert "3 lines made, 0 there already, 0 failed" in capsys.readouterr().err
    assert main([*command, *short]) == 0
    assert "0 lines made, 3 there already" in capsys.readouterr().err
    assert main([*command, *short, "-v", "nobody"]) == 1
    assert "voice 'nobody' not found" in capsys.readouterr().err


@pytest.mark.parametrize(
    "extra", [["a text", "--out-dir", "x"], [], ["--out-dir", "x", "--part", "3/2"]]
)
def test_wrong_usage_of_batch_files(extra, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--batch-file", "lines.txt", *extra])
    assert "--out-dir" in (told := capsys.readouterr().err) or "I/N" in told


def test_the_folder_is_checked_before_a_model_is_loaded(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bark_jax.cli.command.load_model", lambda *_: pytest.fail("loaded"))
    path = tmp_path / "lines.txt"
    path.write_text("one\n")
    assert main(["--batch-file", str(path), "--out-dir", str(path)]) == 1
    assert f"cannot make the folder {path}: File exists" in capsys.readouterr().err


def test_parts_share_the_lines_out(tmp_path, untrained, lines):
    made = [
        speak_lines(untrained, lines, tmp_path, model="m", batch_rows=2, part=(i, 2)).n_made
        for i in range(2)
    ]
    assert made == [3, 2]
    assert speak_lines(untrained, lines, tmp_path, model="m").n_skipped == 5
