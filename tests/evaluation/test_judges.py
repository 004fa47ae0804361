"""Best of n: seeds, order and marks; the table of judges, and what they say of a generation."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from bark_jax.evaluation import JUDGES, get_judge, judges, speakers
from tests import tiny
from tests.fake_bark import tone

VOICES = ("rms", "slt")
SHORT = {"semantic": {"max_duration_s": 0.8, "allow_early_stop": False}}


@pytest.fixture(scope="module")
def bark():
    return tiny.make_bark()


def test_the_best_comes_first(bark):
    marks = {5: 1.0, 6: float("nan"), 7: 3.0, 8: 1.0}
    ranked = bark.best_of(4, "hello", by=lambda made: marks[made.seed], seed=5, sampling=SHORT)
    assert [made.seed for _, made in ranked] == [7, 5, 8, 6]
    assert [mark for mark, _ in ranked[:3]] == [3.0, 1.0, 1.0]
    alone = bark.generate("hello", seed=7, sampling=SHORT)
    np.testing.assert_array_equal(ranked[0][1].fine, alone.fine)


def test_likelihood_is_the_mean_score(bark):
    ranked = bark.best_of(3, "hello", by=judges.likelihood(bark, "coarse"), sampling=SHORT)
    marks = [mark for mark, _ in ranked]
    assert marks == sorted(marks, reverse=True) and len(set(marks)) == 3
    assert marks[0] == pytest.approx(float(bark.score(ranked[0][1]).coarse.mean()), abs=1e-5)


def test_word_accuracy_counts_what_was_heard(monkeypatch):
    monkeypatch.setattr(judges, "make_recognizer", lambda name: lambda audio, rate: "hello dear me")
    judge = get_judge("words:some:function", None)
    assert judge(tone("hello there", None, 1, {})) == 1 - 2 / 2  # one wrong, one added


def loudest(made):
    """A judge of a user's."""
    return float(np.abs(made.audio).max())


def test_judges_go_by_name_in_best_of(bark):
    by_name = bark.best_of(3, "hello", by=f"{__name__}:loudest", sampling=SHORT)
    assert [mark for mark, _ in by_name] == sorted(map(loudest, (row for _, row in by_name)))[::-1]
    voice = tiny.make_voice()
    likely = bark.best_of(2, "hello", by="likelihood:fine", voice=voice, sampling=SHORT)
    mark, best = likely[0]
    assert mark == pytest.approx(np.nanmean(bark.score(best, voice=voice).fine), abs=1e-5)


def test_likeness_is_to_the_voice_that_was_given_or_named(monkeypatch):
    """Each "audio" is its own embedding, and a voice's codes are what they decode to."""
    vectors = {"a": np.array([1.0, 0.0]), "b": np.array([0.6, 0.8])}
    voices = SimpleNamespace(resolve=lambda name: SimpleNamespace(fine=vectors[name]))
    bark = SimpleNamespace(voices=voices, sample_rate=8000, decode=lambda codes: codes)
    monkeypatch.setattr(speakers, "embedding", lambda audio, rate: audio if audio.size else None)

    def made(voice, audio):
        return SimpleNamespace(settings={"voice": voice}, audio=audio, sample_rate=8000)

    assert judges.likeness(bark)(made("a", vectors["b"])) == pytest.approx(0.6)
    assert judges.likeness(bark, "b")(made("a", vectors["b"])) == pytest.approx(1.0)
    assert np.isnan(judges.likeness(bark)(made(None, vectors["b"])))  # nothing to compare with
    assert np.isnan(judges.likeness(bark)(made("a", np.zeros(0))))  # nothing to hear
    with pytest.raises(ValueError, match="made with a dict: want that"):
        judges.likeness(bark)(made("dict", vectors["b"]))


@pytest.mark.thorough  # PyTorch and numba take seconds to load
def test_likeness_tells_speakers_and_dnsmos_speech_from_noise(flite):
    texts = ["the weather is nice today and i like it", "please call me back tomorrow morning"]
    heard = [[speakers.embedding(*flite(text, voice)) for text in texts] for voice in VOICES]
    same = [float(first @ second) for first, second in heard]
    other = [float(first @ second) for first in heard[0] for second in heard[1]]
    assert min(same) > 0.8 > 0.7 > max(other)  # 0.86 and 0.90; 0.52 … 0.61
    assert speakers.embedding(np.zeros(8000), 16_000) is None

    audio, rate = flite(texts[0], "rms")
    noise = np.random.default_rng(0).normal(0, 0.1, len(audio))
    rows = [
        SimpleNamespace(audio=samples, sample_rate=rate)
        for samples in (audio, audio + noise, noise, 0 * noise)
    ]
    for part in ("overall", "signal", "background", "p808"):
        judge = get_judge(f"dnsmos:{part}", None)
        clear, noisy, hiss, silence = map(judge, rows)
        assert 5 > clear > noisy + 0.3 and clear > hiss + 0.3 and np.isnan(silence), part


@pytest.mark.parametrize("name", JUDGES)
def test_a_missing_package_is_told_with_how_to_get_it(monkeypatch, name):
    if not JUDGES[name].packages:
        return
    monkeypatch.setattr(judges.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(ImportError, match=f"judge '{name}' needs .*: pip install"):
        judges.check_judge(name)


def test_marks_have_names_of_letters():
    assert judges.column_of("words:whisper:tiny.en") == "mark_words_whisper_tiny_en"


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"n": 0, "text": "a"}, "n=0 is not allowed; want a whole number >= 1"),
        ({"n": 2, "text": ["a", "b"]}, "best_of speaks one text in one voice, got ['a', 'b']"),
        ({"n": 2, "text": "a", "seed": [1, 2]}, "seed has 2 entries"),
        ({"by": "wordz"}, "judge 'wordz' is not known; want one of words, likelihood, dnsmos, "),
        ({"by": "likelihood:codec"}, "stage='codec' is not allowed; want one of ('semantic'"),
        ({"by": "dnsmos:pitch"}, "part='pitch' is not allowed"),
        (
            {"by": "bark_jax:nobody"},
            "judge 'bark_jax:nobody' is not to be had: module 'bark_jax' has",
        ),
        ({"by": 7}, "by=7 is neither a judge's name nor a function"),
    ],
)
def test_refusals(bark, kwargs, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        bark.best_of(**{"n": 2, "text": "a", "by": lambda made: 0.0} | kwargs)
