"""Long texts through real models: equal to single generations, and resumed after any kill."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bark_jax import Bark

TEXT = "hello there. how are you? and so we went on, and on.\n\nMAN: one more thing.\n"
SHORT = {"semantic": {"max_duration_s": 0.7}}  # under half a second nothing is continued
PLAIN = {"merge": False, "trim": False, "loudness_lufs": None, "crossfade_s": 0.0, "tries": 1}


def test_pieces_are_what_generate_gives():
    bark = Bark.from_pretrained("untrained")
    made = bark.generate_long(
        TEXT, seed=7, sampling=SHORT, settings={**PLAIN, "mode": "carry"}, batch_rows=2
    )
    assert [p["text"] for p in made.pieces][-1] == "MAN: one more thing."
    earlier = {}
    for index, piece in enumerate(made.pieces):
        source = piece["continues"]
        voice = None if source is None else earlier[source]
        alone = bark.generate(piece["text"], seed=7 + index, voice=voice, sampling=SHORT)
        earlier[index] = alone
        rate = made.sample_rate
        audio = made.audio[round(piece["begin_s"] * rate) : round(piece["end_s"] * rate)]
        np.testing.assert_allclose(audio, alone.audio, atol=1e-5)  # batches round differently


def test_words_that_a_model_does_not_know_are_told_once():
    bark = Bark.from_pretrained("untrained")
    text = "hello ☃ there.\n\nand ☃ again."
    with pytest.warns(UserWarning) as warned:
        bark.generate_long(text, seed=7, sampling=SHORT, settings=PLAIN)
    (message,) = [str(each.message) for each in warned if "does not know" in str(each.message)]
    assert message == "the model does not know 2 of the text's 8 words (25%): '☃'"


@pytest.mark.thorough
def test_a_process_killed_at_random_moments_ends_with_the_same_file(tmp_path):
    """By SIGKILL, ten times in all, wherever the process is: loading, speaking, writing."""
    (tmp_path / "t.txt").write_text("\n\n".join(TEXT for _ in range(6)))
    command = [sys.executable, "-m", "bark_jax", "--long", "t.txt", "--seed", "3", "-q",
               "--model", "untrained", "--mode", "carry", "--max-duration", "0.4"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

    def begin(name):
        return subprocess.Popen([*command, "-o", name], cwd=tmp_path, env=environment)

    started = time.perf_counter()
    assert begin("whole.wav").wait() == 0
    takes_s = time.perf_counter() - started
    rng, n_kills = random.Random(0), 0
    while n_kills < 10:
        process = begin("a.wav")
        time.sleep(rng.uniform(0, takes_s))
        if process.poll() is None:
            n_kills += 1
            process.send_signal(signal.SIGKILL)
        process.wait()
        if (tmp_path / "a.json").is_file():
            manifest = json.loads((tmp_path / "a.json").read_text())
            if manifest["status"] == "done":
                _check_same(tmp_path)
                for name in ("a.wav", "a.json"):
                    (tmp_path / name).unlink()
    assert begin("a.wav").wait() == 0
    _check_same(tmp_path)


def _check_same(folder):
    assert (folder / "a.wav").read_bytes() == (folder / "whole.wav").read_bytes()
    one, whole = (json.loads((folder / name).read_text()) for name in ("a.json", "whole.json"))
    assert {**one, "file": ""} == {**whole, "file": ""}
