"""Speech from flite, where that is installed."""

import shutil
import subprocess

import pytest
import soundfile


@pytest.fixture(scope="session")
def flite(tmp_path_factory):
    """Speaks a text in one of flite's voices: samples (S,) float32 and their rate, 16 kHz."""
    if shutil.which("flite") is None:
        pytest.skip("flite is not installed")
    path = tmp_path_factory.mktemp("flite") / "speech.wav"

    def speak(text: str, voice: str):
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", path], check=True)
        return soundfile.read(path, dtype="float32")

    return speak
