"""The packaged model really speaks: an independent judge, flite's lengths, the voices' pitch.

Sentences are from nano/unseen.txt, such as the judge hears without a mistake when flite says them.
The bounds leave room for other rounding on other machines; docs/nano.md has the measured values.
"""

import numpy as np
import pytest

from bark_jax.pipeline import Bark
from bark_jax.runtime.paths import NANO

for package in ("jiwer", "pocketsphinx"):
    pytest.importorskip(package, reason="needs the extra eval")

from bark_jax.evaluation.pitch import pitch_of
from bark_jax.evaluation.recognizer import transcribe
from bark_jax.evaluation.wer import word_errors
from nano.corpus import VOICES
from nano.evaluation import GREEDY, timbre
from nano.packing import MOST_BYTES

PITCH_HZ = {"rms": 101, "slt": 173}  # medians of flite's recordings of nano/unseen.txt
MOST_WRONG = {"rms": 0.2, "slt": 0.4}  # of the words; 0.13 and 0.26 were measured
FLITE_S = {  # lengths of flite's recordings by rms and slt
    "Please call them back next week.": (1.89, 1.84),
    "Hello how are you right now.": (1.84, 1.67),
    "the weather is warm at seven o'clock": (2.37, 1.97),
    "It was very warm on monday.": (1.84, 1.67),
    "the train leaves at two o'clock": (2.03, 1.84),
    "How much is the book?": (1.38, 1.23),
    "his sister wants to drive again": (2.35, 2.05),
    "i will call them before dinner": (1.72, 1.82),
    "You have five tickets for tuesday!": (2.49, 1.90),
    "Robert wants to drive before dinner.": (2.40, 2.19),
    "See you on monday afternoon!": (2.01, 1.63),
    "Please call the driver tomorrow.": (1.92, 1.94),
}
TEXTS = list(FLITE_S)


@pytest.fixture(scope="module")
def bark() -> Bark:
    return Bark.from_pretrained("nano")


def speak(bark: Bark, voice: str | None, sampling=GREEDY) -> list:
    return bark.generate(TEXTS, voice=voice, seed=list(range(len(TEXTS))), sampling=sampling)


@pytest.fixture(scope="module")
def spoken(bark):
    """Greedy speech by voice."""
    return {voice: speak(bark, voice) for voice in VOICES}


def word_error_rate(rows: list) -> float:
    found = [word_errors(row.text, transcribe(row.audio, row.sample_rate)) for row in rows]
    errors, words = (sum(column) for column in zip(*found, strict=True))
    return errors / words


def test_it_fits_into_the_package():
    assert sum(path.stat().st_size for path in NANO.rglob("*") if path.is_file()) < MOST_BYTES


@pytest.mark.parametrize("voice", VOICES)
def test_words_are_understood(spoken, voice):
    assert word_error_rate(spoken[voice]) < MOST_WRONG[voice]


@pytest.mark.thorough
def test_most_words_are_understood_at_default_sampling(bark):
    assert word_error_rate(speak(bark, "rms", sampling=None)) < 0.3  # 0.17 was measured


@pytest.mark.parametrize("voice", VOICES)
def test_speech_ends_where_flites_does(spoken, voice):
    rows, column = spoken[voice], VOICES.index(voice)
    assert all(row.finish_reason == "eos" for row in rows)
    ratios = [len(r.audio) / r.sample_rate / FLITE_S[r.text][column] for r in rows]
    assert np.median(ratios) == pytest.approx(1, abs=0.1)
    assert ratios == pytest.approx([1] * len(rows), abs=0.3)


def test_the_end_token_ends_speech(bark, spoken):
    """Without it the same words come first, and then whatever comes until there is no room."""
    sampling = {"semantic": {"temperature": 0.0, "allow_early_stop": False}}
    endless = bark.generate(TEXTS[0], voice="rms", sampling=sampling)
    ended = spoken["rms"][0].semantic
    assert endless.finish_reason == "max_tokens"
    assert len(endless.semantic) == bark.config.tokens.max_semantic_tokens > len(ended)
    np.testing.assert_array_equal(endless.semantic[: len(ended)], ended)


@pytest.mark.parametrize("voice", VOICES)
def test_a_voice_has_its_pitch_in_every_sentence(spoken, voice):
    found = [pitch_of(row.audio, row.sample_rate).median_hz for row in spoken[voice]]
    assert found == pytest.approx([PITCH_HZ[voice]] * len(found), rel=0.15)


def test_a_voice_sounds_most_like_the_recording_that_it_is_made_of(bark, spoken):
    recorded = {v: timbre([bark.decode(bark.voices.resolve(v).fine)]) for v in VOICES}
    made = {v: timbre([row.audio for row in spoken[v]]) for v in VOICES}
    far = {(a, b): np.abs(made[a] - recorded[b]).mean() for a in VOICES for b in VOICES}
    assert far["rms", "rms"] < far["slt", "rms"] and far["slt", "slt"] < far["rms", "slt"]


def test_a_row_is_the_same_alone(bark, spoken):
    for index in (0, 5):
        alone = bark.generate(TEXTS[index], voice="slt", seed=index, sampling=GREEDY)
        batched = spoken["slt"][index]
        for stage in ("semantic", "coarse", "fine"):
            np.testing.assert_array_equal(getattr(alone, stage), getattr(batched, stage))
        np.testing.assert_allclose(alone.audio, batched.audio, atol=1e-5)


@pytest.mark.thorough
def test_bfloat16_is_understood_as_well(spoken):
    """Equal tokens are too much to ask: two scores may tie within 8 bits."""
    rows = speak(Bark.from_pretrained("nano", dtype="bfloat16"), "rms")
    equal = [
        np.array_equal(a.semantic, b.semantic) for a, b in zip(rows, spoken["rms"], strict=True)
    ]
    assert sum(equal) >= len(TEXTS) // 2
    assert word_error_rate(rows) < MOST_WRONG["rms"]
