"""Metrics of audio and tokens on signals whose values are known."""

import dataclasses

import numpy as np
import pytest

from bark_jax.evaluation.audio import audio_metrics, speaking_rate
from bark_jax.evaluation.spectrogram import N_MELS, RANGE_DB, mel_db, save_spectrogram
from bark_jax.evaluation.tokens import longest_run, repeat_share, token_metrics
from bark_jax.sound import loudness, sounding_spans
from tests.fake_bark import tone

RATE = 24_000


def sine(duration_s: float, level: float, frequency_hz: float = 997.0) -> np.ndarray:
    time_S = np.arange(round(duration_s * RATE)) / RATE
    return (level * np.sin(2 * np.pi * frequency_hz * time_S)).astype(np.float32)


def test_loudness_is_that_of_the_standard():
    """BS.1770: a full-scale sine of 997 Hz in one channel has -3.01 LUFS."""
    # meters may be off by 0.1 (EBU Tech 3341)
    assert loudness(sine(2, 1.0), RATE) == pytest.approx(-3.01, abs=0.1)
    assert loudness(sine(2, 0.1), RATE) == pytest.approx(-23.01, abs=0.1)


@pytest.mark.parametrize("audio", [np.zeros(RATE), np.zeros(0), sine(0.3, 1.0)])
def test_loudness_of_silence_and_snippets_is_unknown(audio):
    assert loudness(audio.astype(np.float32), RATE) is None


def test_silence_is_found_where_it_is():
    quiet = np.zeros
    audio = np.concatenate(
        [quiet(7200), sine(0.5, 0.5), quiet(4800), sine(0.4, 0.5), quiet(12000)]
    ).astype(np.float32)
    found = audio_metrics(audio, RATE, with_pitch=False)
    assert found["duration_s"] == pytest.approx(1.9)
    # a frame of 40 ms that holds any of a sound counts as sound
    assert found["leading_silence_s"] == pytest.approx(0.3, abs=0.03)
    assert found["inner_silence_s"] == pytest.approx(0.2, abs=0.05)
    assert found["trailing_silence_s"] == pytest.approx(0.5, abs=0.03)


def test_a_short_gap_is_part_of_a_word():
    audio = np.concatenate([sine(0.3, 0.5), np.zeros(1440), sine(0.3, 0.5)]).astype(np.float32)
    assert len(sounding_spans(audio, RATE)) == 1


def test_hiss_below_the_floor_is_silence():
    hiss = np.random.default_rng(0).normal(0, 1e-4, RATE).astype(np.float32)
    found = audio_metrics(hiss, RATE, with_pitch=False)
    assert found["leading_silence_s"] == 1.0 and found["spectral_flatness"] is None


def test_flatness_tells_noise_from_tones():
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    # Of white noise it is exp(-γ) = 0.56 for power, of which the mean over frames is an estimate.
    flat = audio_metrics(noise, RATE, with_pitch=False)["spectral_flatness"]
    assert flat == pytest.approx(0.56, abs=0.02)
    assert audio_metrics(sine(1, 0.5), RATE, with_pitch=False)["spectral_flatness"] < 1e-3


def test_clipping_counts_samples_at_full_scale():
    audio = np.full(RATE, 0.25, np.float32)
    audio[: RATE // 4] = 1.0
    audio[0] = -1.5
    found = audio_metrics(audio, RATE, with_pitch=False)
    assert found["clipped_share"] == 0.25 and found["peak"] == 1.5


def test_nothing_has_no_metrics():
    found = audio_metrics(np.zeros(0, np.float32), RATE)
    assert found["duration_s"] == 0 and found["peak"] is None and found["f0_median_hz"] is None


def test_speaking_rate():
    assert speaking_rate("call me back", 1.5) == {"words_per_s": 2.0, "letters_per_s": 10 / 1.5}
    assert speaking_rate("", 0) == {"words_per_s": None, "letters_per_s": None}


@pytest.mark.parametrize(
    "tokens, share, run",
    [
        ([[1, 1, 1, 2]], 2 / 3, 3),
        ([[1, 2, 3]], 0.0, 1),
        ([[5]], None, 1),
        ([[]], None, 0),
        ([[1, 1, 1], [1, 2, 2]], 0.5, 2),  # a frame repeats if all codebooks do
    ],
)
def test_repetition(tokens, share, run):
    tokens_QT = np.array(tokens, np.int32)
    assert repeat_share(tokens_QT) == share and longest_run(tokens_QT) == run


def test_token_metrics_count_what_each_stage_made():
    found = token_metrics(tone("hello", None, 1, {}))
    assert (found["semantic_tokens"], found["semantic_tokens_per_s"]) == (6, 12)
    assert (found["coarse_tokens"], found["coarse_tokens_per_s"]) == (18, 72)
    assert (found["fine_tokens"], found["fine_tokens_per_s"]) == (12, 96)  # 5 - 3 codebooks
    assert (found["semantic_finish"], found["coarse_finish"]) == ("eos", "input_done")


def test_token_metrics_of_a_row_that_ended_at_once():
    nothing = np.zeros((3, 0), np.int32)
    made = dataclasses.replace(
        tone("hello", None, 1, {}), semantic=nothing[0], coarse=nothing, fine=nothing
    )
    found = token_metrics(made)
    assert found["semantic_tokens"] == 0 and found["semantic_repeat_share"] is None
    assert found["coarse_finish"] == "no_input"


def test_a_spectrogram_shows_a_tone_where_it_is(tmp_path):
    picture = mel_db(sine(1, 0.5, 1000.0), RATE)
    assert picture.shape == (N_MELS, 81) and picture.min() >= 0 and picture.max() == RANGE_DB
    brightest = picture.mean(axis=1).argmax()
    # Slaney's mel scale is linear below 1 kHz, 15 mel there, and 52.2 at 12 kHz
    assert brightest == pytest.approx(N_MELS * 15 / 52.2, abs=1.5)
    save_spectrogram(tmp_path / "tone.png", sine(1, 0.5), RATE)
    assert (tmp_path / "tone.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("n_samples", [0, 1, 3000])
def test_a_spectrogram_of_silence_is_dark(n_samples):
    assert mel_db(np.zeros(n_samples, np.float32), RATE).max() == 0
