"""`--stream`: WAV and raw samples to pipes and files, whole and broken off."""

import io
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bark_jax.cli import command as cli
from bark_jax.cli import stream

CHUNKS = [np.linspace(-1, 1, n, dtype=np.float32) for n in (7, 5, 3)]
AUDIO = np.concatenate(CHUNKS)


class FakeStream:
    """Three chunks; the length is told with the second one."""

    sample_rate = 24_000

    def __init__(self, pieces: Any, fails: BaseException | None) -> None:
        self.pieces, self.fails, self.n_samples = pieces, fails, None

    def __iter__(self):
        self.said = [self.pieces] if isinstance(self.pieces, str) else list(self.pieces)
        for index, chunk in enumerate(CHUNKS):
            if index == 1:
                self.n_samples = len(AUDIO)
                if self.fails:
                    raise self.fails
            yield chunk


class FakeBark:
    def __init__(self) -> None:
        self.fails: BaseException | None = None
        self.options: dict[str, Any] = {}

    def stream_audio(self, text: Any, **options: Any) -> FakeStream:
        self.options = options
        self.stream = FakeStream(text, self.fails)
        return self.stream


@pytest.fixture
def bark(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fake = FakeBark()
    monkeypatch.setattr(stream, "find_model", lambda args: None)
    monkeypatch.setattr(stream, "load_model", lambda args, model: fake)
    return fake


class Pipe(io.RawIOBase):
    """What cannot be gone back in; notes every flushed piece."""

    def __init__(self) -> None:
        self.content = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.content += bytes(data)
        return len(data)


def to_pipe(monkeypatch) -> Pipe:
    """Standard output as a pipe. Called in a test itself, for pytest sets its own before that."""
    made = Pipe()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(made)))
    return made


def size_in(content: bytes) -> int:
    return int.from_bytes(content[4:8], "little")


def test_a_pipe_gets_a_wav_of_unknown_length(bark, monkeypatch, capsys):
    pipe = to_pipe(monkeypatch)
    assert cli.main(["--stream", "Hello.", "--seed", "3"]) == 0
    assert size_in(pipe.content) == 0xFFFFFFFF
    audio, rate = soundfile.read(io.BytesIO(pipe.content), dtype="float32")
    assert rate == 24_000
    np.testing.assert_array_equal(audio, AUDIO)
    assert bark.stream.pieces == "Hello."
    assert bark.options == {"mode": "exact", "voice": None, "seed": 3, "sampling": {
        "semantic": {}, "coarse": {}, "fine": {}}}  # fmt: skip
    assert "standard output: 0.00 s of audio, seed 3; the first after" in capsys.readouterr().err


def test_a_length_that_is_known_in_time_is_in_the_header(bark, monkeypatch):
    pipe = to_pipe(monkeypatch)
    monkeypatch.setattr(FakeStream, "__iter__", lambda stream: iter([AUDIO]))
    monkeypatch.setattr(FakeStream, "n_samples", len(AUDIO), raising=False)
    monkeypatch.setattr(FakeStream, "__init__", lambda *args: None)
    assert cli.main(["--stream", "Hello."]) == 0
    assert size_in(pipe.content) == len(pipe.content) - 8


def test_raw_samples_are_16_bit_whole_numbers(bark, monkeypatch):
    pipe = to_pipe(monkeypatch)
    assert cli.main(["--stream", "Hello.", "--format", "raw", "--low-latency"]) == 0
    samples = np.frombuffer(pipe.content, "<i2")
    np.testing.assert_array_equal(samples, np.clip(np.rint(AUDIO * 32768), -32768, 32767))
    assert bark.options["mode"] == "low_latency"


@pytest.mark.parametrize("to_stdout", [True, False])
def test_a_file_gets_its_true_size(bark, monkeypatch, to_stdout):
    if to_stdout:
        with open("out.wav", "wb") as file:
            monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(file))
            assert cli.main(["--stream", "Hello."]) == 0
    else:
        assert cli.main(["--stream", "Hello.", "-o", "out.wav"]) == 0
    content = Path("out.wav").read_bytes()
    assert size_in(content) == len(content) - 8
    np.testing.assert_array_equal(soundfile.read("out.wav", dtype="float32")[0], AUDIO)


def test_what_is_appended_to_stays(bark, monkeypatch):
    with open("out.bin", "ab") as file:
        file.write(b"before")
        file.flush()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(file))
        assert cli.main(["--stream", "Hello."]) == 0
    content = Path("out.bin").read_bytes()
    assert content[:10] == b"beforeRIFF" and content.endswith(AUDIO.tobytes())


@pytest.mark.parametrize("fails, code", [(KeyboardInterrupt(), 130), (ValueError("no, why"), 1)])
def test_what_is_broken_off_can_be_played(bark, fails, code):
    bark.fails = fails
    assert cli.main(["--stream", "Hello.", "-o", "out.wav"]) == code
    content = Path("out.wav").read_bytes()
    assert size_in(content) == len(content) - 8
    np.testing.assert_array_equal(soundfile.read("out.wav", dtype="float32")[0], CHUNKS[0])


def test_a_player_that_has_gone_ends_the_stream(bark, monkeypatch, capsys):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        assert cli.main(["--stream", "Hello."]) == 1
    assert capsys.readouterr().err == ""


def test_several_texts_and_lines_of_standard_input_are_pieces(bark, monkeypatch):
    to_pipe(monkeypatch)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"two\n\n three \n")))
    assert cli.main(["--stream", "one", "-", "four"]) == 0
    assert bark.stream.said == ["one", "two", "three", "four"]


def test_no_audio_is_an_empty_wav(bark, capsys, monkeypatch):
    pipe = to_pipe(monkeypatch)
    monkeypatch.setattr(FakeStream, "__iter__", lambda stream: iter([]))
    assert cli.main(["--stream", "Hello."]) == 0
    assert soundfile.read(io.BytesIO(pipe.content))[0].shape == (0,)
    assert "no audio" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--stream"], "no text"),
        (["--stream", "a", "-o", "out.mp3"], "must end in .wav"),
        (["--stream", "a", "-o", "a.wav", "--format", "raw"], "'a.wav' is no WAV file"),
        (["--stream", "a", "--save-voice", "v.npz"], "--stream takes no --save-voice"),
        (["--stream", "a", "--long", "b.txt"], "--stream takes no --long"),
        (["--stream", "a", "--output-full"], "--stream takes no --output-full"),
        (["a", "--low-latency"], "go with --stream"),
        (["a", "--format", "raw"], "go with --stream"),
    ],
)
def test_wrong_usage(bark, monkeypatch, capsys, argv, message):
    to_pipe(monkeypatch)
    with pytest.raises(SystemExit) as exit_:
        cli.main(argv)
    assert exit_.value.code == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
