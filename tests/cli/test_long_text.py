"""`bark-jax --long`, `info` and `repeat`: flags, what is said, files that are made again."""

import io
import json
import sys

import numpy as np
import pytest
import soundfile

from bark_jax.cli import command as cli
from tests.long.fake import FakeModel
from tests.long.test_session import SENTENCES

TEXT = "\n\n".join(SENTENCES)  # paragraphs are not merged
QUICK = ["--model", "untrained", "--max-duration", "0.2", "--batch-size", "2"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.txt").write_text(TEXT)
    return tmp_path


@pytest.fixture
def bark(monkeypatch):
    fake = FakeModel({SENTENCES[1]: ["silent"], SENTENCES[2]: ["silent"] * 9})
    monkeypatch.setattr("bark_jax.cli.long_text.find_model", lambda args: None)
    monkeypatch.setattr("bark_jax.cli.long_text.load_model", lambda args, model, mesh: fake)
    return fake


def manifest(name="t.json"):
    with open(name) as file:
        return json.load(file)


def test_a_file_becomes_a_recording_and_a_manifest(bark, here, capsys):
    assert cli.main(["--long", "t.txt", "-o", "t.wav", "--seed", "1"]) == 0
    said = capsys.readouterr().err
    assert "t.wav: " in said and ", seed 1, " in said
    assert manifest()["text"] == TEXT and manifest()["seed"] == 1
    assert soundfile.info("t.wav").duration == pytest.approx(manifest()["duration_s"], abs=1e-3)


def test_the_name_of_the_manifest_is_checked_before_the_work(bark, here, capsys):
    name = "n" * 251  # .wav fits into 255 bytes, .json does not
    assert cli.main(["--long", "t.txt", "-o", f"{name}.wav"]) == 1
    assert f"cannot write {name}.json: File name too long" in capsys.readouterr().err
    assert [file.name for file in here.iterdir()] == ["t.txt"]


def test_every_flag_is_a_setting(bark, here):
    argv = (
        "--mode reanchor --reanchor-every 3 --language de --tries 2 --pause 0.1 --speaker-pause 1 "
        "--loudness -18 --voices MAN=a.npz --bits 16 --batch-size 3 --min-eos-p 0.1"
    )
    assert cli.main(["--long", "t.txt", "-o", "t.wav", *argv.split()]) == 0
    settings = manifest()["settings"]
    want = {"mode": "reanchor", "reanchor_every": 3, "language": "de", "tries": 2, "pause_s": 0.1}
    want |= {"speaker_pause_s": 1.0, "loudness_lufs": -18.0}
    assert want.items() <= settings.items()
    assert manifest()["voices"] == {"MAN": "a.npz"} and manifest()["batch_rows"] == 3
    assert manifest()["sampling"]["semantic"]["min_eos_p"] == 0.1
    assert soundfile.info("t.wav").subtype == "PCM_16"


def test_pieces_that_were_tried_again_are_counted(bark, capsys):
    assert cli.main(["--long", "t.txt", "-o", "t.flac", "--seed", "1"]) == 0
    assert ", 3 tried again, 1 with faults left" in capsys.readouterr().err


def test_standard_input_and_the_notebooks_recipe(bark, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("♪ la la ♪".encode())))
    assert cli.main(["--long", "-", "-o", "t.wav", "--notebook"]) == 0
    assert manifest()["text"] == "♪ la la ♪" and manifest()["settings"]["tries"] == 1
    assert manifest()["sampling"]["semantic"]["temperature"] == 0.6


def test_ctrl_c_leaves_a_file_that_plays_and_the_same_command_goes_on(bark, here, capsys):
    bark.stop_after = 7
    assert cli.main(["--long", "t.txt", "-o", "t.wav"]) == 130
    assert manifest()["status"] == "begun" and soundfile.info("t.wav").frames > 0
    bark.stop_after = None
    assert cli.main(["--long", "t.txt", "-o", "t.wav"]) == 0  # with the seed that it had
    assert manifest()["status"] == "done"
    assert sum(len(call["text"]) for call in bark.calls) < 12 + 7 + 3


def test_a_terminal_shows_the_seconds_of_audio_and_the_time_left(bark, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert cli.main(["--long", "t.txt", "-o", "t.wav", "--tries", "1"]) == 0
    last = capsys.readouterr().err.split("\r")[-1]
    done_s, total_s = (float(last.split(" s of audio")[0].split()[i]) for i in (-3, -1))
    assert done_s == total_s > 20 and "left]" in last


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["more", "--long", "t.txt"], "--long takes no TEXT"),
        (["--long", "t.txt", "-o", "-"], "--long writes files"),
        (["--long", "t.txt", "-o", "t.aac"], "must end in .wav, .flac"),
        (["--long", "t.txt", "--notebook", "--mode", "carry"], "leave the others out"),
        (["--long", "t.txt", "--voices", "Ann"], "want NAME=VOICE,NAME=VOICE, got 'Ann'"),
        (["--long", "t.txt", "--mode", "x"], "invalid choice: 'x'"),
        (["--long", "t.txt", "--save-voice", "a.npz"], "--long writes no voice"),
    ],
)
def test_wrong_usage_is_told_in_one_line(bark, capsys, argv, message):
    with pytest.raises(SystemExit) as exit_:
        cli.main(argv)
    said = capsys.readouterr().err
    assert exit_.value.code == 2 and message in said and said.count("\n") == 1


def test_a_missing_file_is_told_in_one_line(bark, capsys):
    assert cli.main(["--long", "no.txt", "-o", "t.wav"]) == 1
    assert "no.txt" in capsys.readouterr().err


def test_info_prints_text_settings_and_pieces(bark, capsys):
    assert cli.main(["--long", "t.txt", "-o", "t.wav", "--seed", "1", "-q"]) == 0
    assert cli.main(["info", "t.wav"]) == 0
    said = capsys.readouterr().out
    assert "format: WAV, FLOAT" in said and "seed: 1" in said and "temperature: 0.7" in said
    assert f"{SENTENCES[1]} (tries: no sound; good; took 2)" in said.replace("  ", " ")
    assert cli.main(["info", "t.wav", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pieces"] == manifest()["pieces"]


def test_info_draws_the_pieces_of_a_long_text(bark, here, capsys):
    assert cli.main(["--long", "t.txt", "-o", "t.wav", "-q"]) == 0
    assert cli.main(["info", "t.wav", "--picture", "t.png"]) == 0
    assert (here / "t.png").read_bytes().startswith(b"\x89PNG")
    (here / "t.json").unlink()
    assert cli.main(["info", "t.wav", "--picture", "t.png"]) == 1


def test_info_and_repeat_of_other_files_say_so(here, capsys):
    soundfile.write("a.wav", np.zeros(100), 8000)
    for command in (["info", "a.wav"], ["repeat", "a.wav", "-o", "b.wav"]):
        assert cli.main(command) == 1
        assert "a.wav does not say how it was made" in capsys.readouterr().err
        assert cli.main([command[0], "no.wav", *command[2:]]) == 1
        assert "there is no file no.wav" in capsys.readouterr().err


def make_all(here):
    """A single text, a line of a batch and a long text."""
    assert cli.main(["hello there", "-o", "one.wav", "--seed", "3", *QUICK]) == 0
    (here / "lines.txt").write_text("one\ntwo words\n")
    assert cli.main(["--batch-file", "lines.txt", "--out-dir", "out", "--seed", "9", *QUICK]) == 0
    (here / "long.txt").write_text("hello there. how are you?\nMAN: and some more.\n")
    argv = ["--long", "long.txt", "-o", "long.flac", "--seed", "4", "--tries", "2"]
    assert cli.main([*argv, *QUICK]) == 0


def test_repeat_gives_the_same_samples(here, capsys):
    make_all(here)
    for name in ("one.wav", "out/000001.wav", "long.flac"):
        again = "again" + name[name.index(".") :]
        capsys.readouterr()
        assert cli.main(["repeat", name, "-o", again]) == 0
        assert "the same samples" in capsys.readouterr().err
        np.testing.assert_array_equal(soundfile.read(again)[0], soundfile.read(name)[0])
        assert soundfile.info(again).frames > 0
    assert cli.main(["repeat", "one.wav", "-o", "again.mp3"]) == 0
    assert "in another format" in capsys.readouterr().err


def test_repeat_says_what_differs(here, capsys, monkeypatch):
    assert cli.main(["hello there", "-o", "one.wav", "--seed", "3", *QUICK]) == 0
    monkeypatch.setattr("jax.__version__", "9.9")
    monkeypatch.setattr("bark_jax.sources.description.identify", lambda directory, stage: "other")
    assert cli.main(["repeat", "one.wav", "-o", "again.wav"]) == 0
    said = capsys.readouterr().err
    assert "jax is 9.9, was " in said and "sha256 of coarse is other, was " in said


def test_repeat_needs_a_voice_that_has_a_name(here, capsys):
    from bark_jax import Bark

    bark = Bark.from_pretrained("untrained")
    sampling = {"semantic": {"max_duration_s": 0.5, "allow_early_stop": False}}
    first = bark.generate("hello", seed=1, sampling=sampling)
    bark.generate("more", voice=first, sampling=sampling).save("a.wav")
    assert cli.main(["repeat", "a.wav", "-o", "b.wav"]) == 1
    assert "a voice that has no name: give it with --voice" in capsys.readouterr().err
    first.save_voice("first.npz")
    assert cli.main(["repeat", "a.wav", "-o", "b.wav", "-v", "first.npz"]) == 0
    assert "the same samples" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["repeat", "a.wav", "-o", "a.wav", "-v", "first.npz"])
