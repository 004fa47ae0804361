"""The judges of speech: words, pitch. Speech comes from flite, where that is installed."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from bark_jax.evaluation import recognizer
from bark_jax.evaluation.pitch import pitch_of
from bark_jax.evaluation.recognizer import RATE_HZ, make_recognizer, transcribe
from bark_jax.evaluation.wer import normalize, word_errors

TEXT = "please call me back tomorrow"
RATE = 24_000


@pytest.fixture(scope="module")
def speech(flite):
    return flite(TEXT, "slt")


def tone(frequency_hz: float, duration_s: float = 1.0) -> np.ndarray:
    """A buzz: the first harmonics of a fundamental, as a voice has them."""
    time_S = np.arange(int(duration_s * RATE)) / RATE
    harmonics = [np.sin(2 * np.pi * frequency_hz * n * time_S) / n for n in range(1, 8)]
    return (0.2 * np.sum(harmonics, axis=0)).astype(np.float32)


@pytest.mark.parametrize(
    "meant, heard, errors, words",
    [
        ("Please call me back.", "please call me back", 0, 4),
        ("Don\u2019t go [laughs]!", "don't go", 0, 2),
        ("one two three", "one too three", 1, 3),
        ("one two three", "three", 2, 3),
        ("one", "one two three", 2, 1),
        ("", "two words", 2, 0),
        ("[music]", "", 0, 0),
    ],
)
def test_word_errors(meant, heard, errors, words):
    assert word_errors(meant, heard) == (errors, words)


def test_normalize_keeps_apostrophes_inside_words_only():
    assert normalize("'Don\u2019t' — [sighs] STOP_it, Ünal's") == "don't stop it ünal's"


def test_transcribe_hears_speech_at_any_rate(speech):
    samples, rate = speech
    assert transcribe(samples, rate) == TEXT
    upsampled = np.repeat(samples, 2)  # 32 kHz, with an image far above what is listened to
    assert transcribe(upsampled, 2 * rate) == TEXT


def test_transcribe_forgets_what_it_heard_before(speech):
    """Its model adapts to a recording; what it has learnt may not reach the next one."""
    samples, rate = speech
    noise = np.random.default_rng(0).normal(0, 0.2, RATE).astype(np.float32)
    alone = transcribe(noise, RATE)
    transcribe(samples, rate)
    assert transcribe(noise, RATE) == alone


@pytest.mark.parametrize("n_samples", [0, 20, 5000])
def test_transcribe_hears_nothing_in_silence(n_samples):
    assert transcribe(np.zeros(n_samples, np.float32), RATE) == ""


def test_a_recognizer_is_found_by_name(monkeypatch):
    assert make_recognizer("pocketsphinx") is transcribe
    assert make_recognizer("bark_jax.evaluation.recognizer:transcribe") is transcribe


def test_whisper_hears_the_same_each_time(monkeypatch):
    """A stand-in for faster-whisper, which would draw words where it is unsure."""

    def transcribe_it(samples, *, temperature):
        assert temperature == 0 and len(samples) == 2 * RATE_HZ
        return [SimpleNamespace(text=" Hello"), SimpleNamespace(text=" there. ")], None

    def load(model):
        assert model == "tiny.en"
        return SimpleNamespace(transcribe=transcribe_it)

    monkeypatch.setitem(sys.modules, "faster_whisper", SimpleNamespace(WhisperModel=load))
    recognizer._whisper.cache_clear()
    heard = make_recognizer("whisper:tiny.en")(np.zeros(2 * RATE, np.float32), RATE)
    recognizer._whisper.cache_clear()
    assert heard == "Hello there."


@pytest.mark.parametrize("name", ["sphinx", "whisper", "whisper:", ":x"])
def test_an_unknown_recognizer_is_refused(name):
    with pytest.raises(ValueError, match=f"recognizer='{name}' is not known"):
        make_recognizer(name)


def test_a_recognizer_that_its_module_does_not_have_is_refused():
    with pytest.raises(ValueError, match=r"recognizer 'json:nothing' is not to be had: module"):
        make_recognizer("json:nothing")


def test_pitch_is_that_of_a_tone():
    found = pitch_of(np.concatenate([tone(110, 0.6), tone(220, 0.4)]), RATE)
    # 110 Hz for most of the time; the grid has steps of 0.1 semitone, 0.6 %
    assert found.median_hz == pytest.approx(110, rel=0.012)
    assert found.low_hz == pytest.approx(110, rel=0.012)
    assert found.high_hz == pytest.approx(220, rel=0.012)
    assert found.voiced_share > 0.8


@pytest.mark.parametrize("samples", [np.zeros(RATE), np.zeros(0), np.ones(10)])
def test_silence_has_no_pitch(samples):
    found = pitch_of(samples.astype(np.float32), RATE)
    assert (found.median_hz, found.voiced_share) == (None, 0.0)
