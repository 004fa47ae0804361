"""Headers of WAV files that are read while they are written."""

import io
import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from bark_jax.streaming.wav import wav_header

AUDIO = np.linspace(-1.5, 1.5, 1001, dtype="<f4")


def test_a_known_length_gives_a_plain_wav():
    content = wav_header(24_000, len(AUDIO)) + AUDIO.tobytes()
    assert int.from_bytes(content[4:8], "little") == len(content) - 8
    audio, rate = soundfile.read(io.BytesIO(content), dtype="float32")
    assert rate == 24_000
    np.testing.assert_array_equal(audio, AUDIO)


@pytest.mark.parametrize("n_samples", [None, 2**30])
def test_an_unknown_length_is_read_to_the_end(n_samples):
    content = wav_header(24_000, n_samples) + AUDIO.tobytes()
    assert content[4:8] == content[-len(AUDIO) * 4 - 4 : -len(AUDIO) * 4] == b"\xff" * 4
    audio, _ = soundfile.read(io.BytesIO(content), dtype="float32")
    np.testing.assert_array_equal(audio, AUDIO)


@pytest.mark.parametrize("n_samples", [None, len(AUDIO)])
@pytest.mark.parametrize(
    "command",
    [
        "sox -t wav - -t f32 -",
        "ffmpeg -v error -i pipe:0 -f f32le pipe:1",
    ],
)
def test_other_programs_read_it_from_a_pipe(command, n_samples):
    command = command.split()
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}")
    quiet = (AUDIO / 2).astype("<f4")  # sox clips
    content = wav_header(16_000, n_samples) + quiet.tobytes()
    done = subprocess.run(command, input=content, capture_output=True, check=True)
    # sox works in whole numbers, rounded from float32
    np.testing.assert_allclose(np.frombuffer(done.stdout, "<f4"), quiet, atol=1e-7, rtol=0)
