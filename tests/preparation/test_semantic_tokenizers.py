"""Tokenizers of sound: they tell tones apart, keep time, and come back from disk as they were."""

import dataclasses
import json
import pickle
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("librosa", reason="needs the extra train")
pytest.importorskip("sklearn", reason="needs the extra train")

from bark_jax.preparation.corpus import Phone, read_phones
from bark_jax.preparation.semantic_features import (
    FeatureConfig,
    features,
    n_tokens,
    stack_context,
    token_times,
)
from bark_jax.preparation.semantic_tokenizers import (
    load_tokenizer,
    phone_tokens,
    save_tokenizer,
    tokenizer_sha256,
)
from bark_jax.preparation.semantic_training import phone_names, train_kmeans, train_phones

RATE = 16_000
TONES_HZ = {"low": 300, "mid": 900, "high": 2700}
TONE_S = 0.2
CONFIG = FeatureConfig(rate_hz=Fraction(50))


def sing(names, seed=0):
    """Tones of TONE_S, one after the other, in a little noise."""
    t = np.arange(round(TONE_S * RATE)) / RATE
    clean = np.concatenate([0.3 * np.sin(2 * np.pi * TONES_HZ[name] * t) for name in names])
    return (clean + np.random.default_rng(seed).normal(0, 0.003, len(clean))).astype(np.float32)


def label(names):
    return read_phones([[name, (i + 1) * TONE_S] for i, name in enumerate(names)])


SONGS = [list(np.random.default_rng(i).choice(list(TONES_HZ), 6)) for i in range(20)]
CLIPS = [sing(song, i) for i, song in enumerate(SONGS)]


@pytest.fixture(scope="module")
def kmeans():
    return train_kmeans(CLIPS, RATE, CONFIG, vocab_size=12, seed=0)


@pytest.fixture(scope="module")
def phones():
    return train_phones(CLIPS, RATE, [label(song) for song in SONGS], CONFIG, seed=0, n_hidden=32)


@pytest.mark.parametrize("rate", ["49.9", "50", "25", "9.7"])
def test_features_keep_the_time_of_any_rate(rate):
    cfg = FeatureConfig(rate_hz=Fraction(rate))
    click = np.zeros(2 * RATE, np.float32)
    click[RATE + RATE // 4] = 1  # at 1.25 s
    vectors = features(click, RATE, cfg)
    assert len(vectors) == n_tokens(len(click), RATE, cfg.rate_hz) == int(2 * float(rate))
    loudest = token_times(len(vectors), cfg.rate_hz)[vectors[:, 0].argmax()]
    if float(rate) > 1 / cfg.window_s:  # else the click may fall between two windows
        assert abs(loudest - 1.25) <= 0.5 / float(rate) + 1e-6  # the token that it lies in


def test_features_hardly_depend_on_the_rate_of_the_recording():
    song = sing(["low", "high", "mid"])
    doubled = np.repeat(song, 2)  # 32 kHz, with mirror images above 8 kHz that resampling removes
    ours, theirs = features(song, RATE, CONFIG), features(doubled, 2 * RATE, CONFIG)
    # log energies of up to 20; repeating a sample is a filter of a decibel or two
    assert np.abs(ours - theirs)[2:-2, : CONFIG.n_mfcc].mean() < 0.3


def test_a_single_frame_has_features_too():
    assert features(np.ones(10, np.float32), RATE, CONFIG).shape == (1, CONFIG.n_features)


def test_context_is_that_of_each_frame():
    stacked = stack_context(np.arange(4.0)[:, None], 1)
    np.testing.assert_array_equal(stacked, [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]])


def test_kmeans_tells_tones_apart(kmeans):
    made, unexplained = kmeans
    assert made.vocab_size == 12
    assert 0 < unexplained < 0.5
    tokens = made.encode(sing(["low", "mid", "high"], seed=99), RATE)
    assert tokens.dtype == np.int32
    middles = [set(tokens[i * 10 + 3 : i * 10 + 7]) for i in range(3)]  # of 10 tokens per tone
    assert not middles[0] & middles[1] and not middles[1] & middles[2]
    assert not middles[0] & middles[2]


def test_few_frames_make_few_centres(capsys):
    made, _ = train_kmeans([sing(["low", "mid"])], RATE, CONFIG, vocab_size=12, seed=0)
    assert made.vocab_size == 2  # of 20 frames
    assert "20 frames make 2 semantic tokens, not 12" in capsys.readouterr().err
    with pytest.raises(ValueError, match="10 frames are too few for k-means"):
        train_kmeans([sing(["low"])], RATE, CONFIG, vocab_size=12, seed=0)
    with pytest.raises(ValueError, match="no clips"):
        train_kmeans([], RATE, CONFIG, vocab_size=12, seed=0)


def test_phones_are_recognised_in_thirds(phones):
    made, accuracy = phones
    assert made.phones == ("high", "low", "mid")
    assert made.vocab_size == 9
    assert accuracy > 0.6  # 1/9 by chance; where a third ends is not to be heard
    song = ["mid", "low", "high", "low"]
    tokens = made.encode(sing(song, seed=99), RATE)
    want = phone_tokens(label(song), token_times(len(tokens), CONFIG.rate_hz), made.phones)
    # at a border, windows hear both tones
    assert (tokens // 3 == want // 3).mean() > 0.85


def test_phone_tokens_are_beginning_middle_and_end():
    alignment = [Phone("b", 0.0, 0.3), Phone("a", 0.3, 0.6)]
    times = np.array([0.0, 0.05, 0.15, 0.25, 0.3, 0.45, 0.55, 5.0])
    got = phone_tokens(alignment, times, phone_names([alignment]))
    np.testing.assert_array_equal(got, [3, 3, 4, 5, 0, 1, 2, 2])
    with pytest.raises(ValueError, match=r"its phones \['a'\] are none of the tokenizer's 1"):
        phone_tokens(alignment, times, ["b"])
    with pytest.raises(ValueError, match="it has no phones"):
        phone_tokens([], times, ["b"])


@pytest.mark.parametrize("kind", ["kmeans", "phones"])
def test_a_saved_tokenizer_is_the_same(kind, request, tmp_path):
    made, _ = request.getfixturevalue(kind)
    save_tokenizer(tmp_path / "new" / kind, made)
    loaded = load_tokenizer(tmp_path / "new" / kind)
    assert tokenizer_sha256(loaded) == tokenizer_sha256(made)
    assert loaded.rate_hz == made.rate_hz
    for other in (loaded, pickle.loads(pickle.dumps(made))):
        np.testing.assert_array_equal(other.encode(CLIPS[0], RATE), made.encode(CLIPS[0], RATE))
    assert [path.name for path in (tmp_path / "new").iterdir()] == [kind]
    with pytest.raises(FileExistsError, match="is there already"):
        save_tokenizer(tmp_path / "new" / kind, made)


def test_the_hash_sees_every_array(kmeans):
    made, _ = kmeans
    moved = dataclasses.replace(made, centres=made.centres + 1e-6)
    assert tokenizer_sha256(moved) != tokenizer_sha256(made)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"format": "other/2"}, "has format 'other/2'"), ({"kind": "magic"}, "magic")],
)
def test_what_is_no_tokenizer_is_refused(kmeans, tmp_path, change, message):
    with pytest.raises(FileNotFoundError, match=r"it has no tokenizer\.json"):
        load_tokenizer(tmp_path)
    save_tokenizer(tmp_path / "t", kmeans[0])
    path = tmp_path / "t" / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        load_tokenizer(tmp_path / "t")


def test_a_pickle_in_the_arrays_is_refused(kmeans, tmp_path):
    save_tokenizer(tmp_path / "t", kmeans[0])
    evil = np.array([object()], dtype=object)
    np.savez(tmp_path / "t" / "arrays.npz", mean=evil, std=evil, centres=evil)
    with pytest.raises(ValueError, match="cannot read the semantic tokenizer"):
        load_tokenizer(tmp_path / "t")


@pytest.mark.parametrize("wrong", [{"rate_hz": Fraction(0)}, {"n_mfcc": 1}, {"window_s": 1e-4}])
def test_features_out_of_range_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        FeatureConfig(**{"rate_hz": Fraction(50)} | wrong)
