"""Files of lines to files of audio: reading, resuming, bad lines, parts, solo runs."""

import json

import numpy as np
import pytest
import soundfile

from bark_jax import Bark
from bark_jax.batch_files import Line, read_lines, speak_lines
from bark_jax.cli.command import main
from bark_jax.sampling_config import SamplingConfig

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
        for row in record.read_text().splitlines()
    ]


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("one\n\ntwo words\nthree more words\nfour\nfive of them\n", encoding="utf-8")
    return read(path)


def test_plain_text_gives_numbered_lines(lines):
    assert [line.id for line in lines] == ["000000", "000002", "000003", "000004", "000005"]
    assert [line.seed for line in lines] == [5, 7, 8, 9, 10]
    assert lines[0].sampling["semantic"]["max_duration_s"] == 0.3


def test_json_lines_say_what_differs(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text(
        '{"text": "one", "id": "a", "seed": 1}\n'
        '{"text": "two", "sampling": {"fine": {"temperature": 0}}}\n'
    )
    first, second = read(path)
    assert (first.id, first.seed, first.sampling["fine"]["temperature"]) == ("a", 1, 0.5)
    assert (second.id, second.seed, second.sampling["fine"]["temperature"]) == ("000001", 6, 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": 1}', 'line 1: want a JSON object with a "text"'),
        ("not json", "line 1: Expecting value"),
        ('{"text": "a", "speed": 2}', r"line 1: unknown fields \['speed'\]"),
        ('{"text": "a", "id": "../b"}', "line 1: id='../b' is taken or is not a file name"),
        ('{"text": "a", "id": "b"}\n{"text": "a", "id": "b"}', "line 2: id='b' is taken"),
        ('{"text": "a", "sampling": {"fine": {"temperature": -1}}}', "fine.temperature=-1"),
        ("", "has no lines to speak"),
    ],
)
def test_bad_files_are_refused_before_any_work(tmp_path, content, message):
    path = tmp_path / "lines.jsonl"
    path.write_text(content)
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
    short = ["--max-duration", "0.3", "--batch-size", "2"]
    assert main([*command, *short]) == 0
    assert "3 lines made, 0 there already, 0 failed" in capsys.readouterr().err
    assert main([*command, *short]) == 0
    assert "0 lines made, 3 there already" in capsys.readouterr().err
    assert main([*command, *short, "-v", "nobody"]) == 1
    assert "000000: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "extra", [["a text", "--out-dir", "x"], [], ["--out-dir", "x", "--part", "3/2"]]
)
def test_wrong_usage_of_batch_files(extra, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--batch-file", "lines.txt", *extra])
    assert "--out-dir" in (told := capsys.readouterr().err) or "I/N" in told


def test_parts_share_the_lines_out(tmp_path, untrained, lines):
    made = [
        speak_lines(untrained, lines, tmp_path, model="m", batch_rows=2, part=(i, 2)).n_made
        for i in range(2)
    ]
    assert made == [3, 2]
    assert speak_lines(untrained, lines, tmp_path, model="m").n_skipped == 5
