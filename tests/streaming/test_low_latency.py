"""Streams in low-latency mode: what comes early, and what stays the same."""

from types import SimpleNamespace

import numpy as np
import pytest

from bark_jax.batching import Batch
from bark_jax.config import BarkConfig, TokenLayout
from bark_jax.sampling_config import BARK
from bark_jax.streaming.audio_stream import haste_of
from bark_jax.streaming.coarse_draws import CoarseDraws
from tests import tiny
from tests.streaming.test_exact import SHORT, voice_of

LAYOUT = tiny.LAYOUT
HOP = tiny.CONFIG.codec.hop_length


@pytest.fixture(scope="module")
def bark():
    return tiny.make_bark()


def draws(config: BarkConfig, voice, is_early: bool) -> CoarseDraws:
    batch = Batch.of(text="hello", voice=None, seed=0, sampling=BARK)
    runner = SimpleNamespace(config=config)
    return CoarseDraws(
        runner,  # pyright: ignore[reportArgumentType]
        batch.with_voices(lambda _: voice),
        is_early=is_early,
    )


def test_how_many_semantic_tokens_barks_first_window_waits_for():
    arrays = voice_of(400)
    voice = SimpleNamespace(semantic=arrays["semantic_prompt"], coarse=arrays["coarse_prompt"])
    assert draws(SHORT, None, is_early=False).needs() == 256
    assert draws(SHORT, voice, is_early=False).needs() == 47
    assert draws(SHORT, None, is_early=True).needs() == 47
    assert draws(SHORT, voice, is_early=True).needs() == 47


@pytest.mark.parametrize("n_voice", [None, 30])
def test_the_words_stay_and_the_length_is_told(bark, n_voice):
    arguments = {
        "text": "hello there",
        "voice": None if n_voice is None else tiny.make_voice(n_voice),
        "seed": 4,
        "sampling": {"semantic": {"allow_early_stop": False}},
    }
    whole = bark.generate(**arguments)
    stream = bark.stream_audio(**arguments, mode="low_latency")
    chunks = list(stream)
    made, audio = stream.generation, np.concatenate(chunks)
    np.testing.assert_array_equal(made.semantic, whole.semantic)
    np.testing.assert_array_equal(made.audio, audio)
    np.testing.assert_array_equal(made.fine[: LAYOUT.n_coarse_codebooks], made.coarse)
    assert made.fine.shape == whole.fine.shape and len(audio) == stream.n_samples
    assert 0 <= made.fine.min() and made.fine.max() < LAYOUT.codebook_size
    haste = haste_of(bark.config)
    assert len(chunks[0]) == haste.first_frames * HOP
    # what is decoded chunk by chunk is what is decoded at once
    np.testing.assert_allclose(bark.decode(made.fine), audio, atol=1e-5, rtol=0)
    if n_voice:  # all windows have seen what they would have
        np.testing.assert_array_equal(made.coarse, whole.coarse)


def test_equal_seeds_give_equal_streams(bark):
    first, second = (
        np.concatenate(list(bark.stream_audio("hello", seed=4, mode="low_latency")))
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_a_short_text_is_exact(bark):
    """One that ends inside the first window's sight leaves nothing to be hasty about."""
    arguments = {"text": "hello", "seed": 3, "sampling": {"semantic": {"max_duration_s": 0.3}}}
    whole = bark.generate(**arguments)
    stream = bark.stream_audio(**arguments, mode="low_latency")
    audio = np.concatenate(list(stream))
    np.testing.assert_array_equal(stream.generation.fine, whole.fine)
    np.testing.assert_allclose(audio, whole.audio, atol=1e-5, rtol=0)  # in chunks of another length


def test_the_choices_at_barks_layout():
    haste = haste_of(SHORT)
    assert (haste.first_frames, haste.most_frames, haste.lookahead_frames) == (15, 120, 15)
    window = TokenLayout().coarse_window // TokenLayout().n_coarse_codebooks
    assert haste.first_frames + haste.lookahead_frames == window, "the first window is enough"
