"""`Bark.score`: drawing anew from what it reports gives the tokens, in every stage."""

import re

import numpy as np
import pytest

from bark_jax.decoding.noise import KeyNoise
from bark_jax.processors import Ban, MinP, RepetitionPenalty
from bark_jax.stages.fine import plan_windows
from tests import tiny

L = tiny.LAYOUT
Q = L.n_coarse_codebooks
TEXTS = ["hello", "a b c", "yes", "why"]
VOICES = [None, tiny.make_voice(30), None, tiny.make_voice(7, 1)]
SEEDS = [3, 2**64 - 1, 5, 7]
SAMPLING = {
    "semantic": {
        "temperature": [0.7, 1.0, 0.0, 0.9],
        "top_k": [None, 9, None, None],
        "max_duration_s": [None, 1.5, 0.8, 2.0],
        "min_eos_p": None,
        "allow_early_stop": [False, False, False, True],
        "processors": [[], [RepetitionPenalty(1.5)], [], [MinP(0.01)]],
    },
    "coarse": {"temperature": [0.7, 0.5, 0.0, 1.0], "processors": [[], [], [], [Ban([3])]]},
    "fine": {"temperature": [0.5, 1.0, 0.0, 0.3], "processors": [[MinP(0.1)], [], [], []]},
}


@pytest.fixture(scope="module")
def bark():
    return tiny.make_bark()


@pytest.fixture(scope="module")
def made(bark):
    return bark.generate(TEXTS, voice=VOICES, seed=SEEDS, sampling=SAMPLING)


@pytest.fixture(scope="module")
def scores(bark, made):
    details = ["logits", "rank", "entropy"]
    return bark.score(made, voice=VOICES, as_drawn=True, details=details)


def gumbel(seed: int, stage: str, steps, shape: tuple[int, ...]) -> np.ndarray:
    key = KeyNoise.of([seed], stage)
    return np.concatenate([key.gumbel(np.array([step]), shape) for step in steps])


def temperature_of(generation, stage: str) -> float:
    return generation.settings["sampling"][stage]["temperature"]


@pytest.mark.parametrize("row", range(4))
def test_the_same_noise_draws_the_same_tokens(made, scores, row):
    """Each draw was argmax(logits / temperature + noise): of filters, segments, windows, rows."""
    one, logits = made[row], scores[row].details["logits"]
    seed = SEEDS[row]

    def drawn(stage: str, noise: np.ndarray) -> np.ndarray:
        is_random = temperature_of(one, stage) > 0
        return np.argmax(logits[stage] + is_random * noise, axis=-1)

    n, T = len(one.semantic), one.coarse.shape[1]
    noise = gumbel(seed, "semantic", range(n + 1), (L.semantic_vocab_size + 1,))
    assert n > 5 and logits["semantic"].shape[0] == n + 1
    np.testing.assert_array_equal(
        drawn("semantic", noise[: n + 1])[:n], one.semantic, err_msg="semantic"
    )
    noise = gumbel(seed, "coarse", range(Q * T), (L.codebook_size,))
    noise_QT = noise.reshape(T, Q, -1).swapaxes(0, 1)
    np.testing.assert_array_equal(drawn("coarse", noise_QT), one.coarse, err_msg="coarse")

    voice = VOICES[row]
    n_history = 0 if voice is None else min(voice["fine_prompt"].shape[1], L.fine_history)
    windows = plan_windows(T, n_history, L)
    noise_QT = np.zeros((L.n_fine_codebooks, T, L.codebook_size))
    for index, window in enumerate(windows):  # the last to write a frame counts
        steps = [index * L.n_fine_codebooks + q for q in range(L.n_fine_codebooks)]
        window_noise = gumbel(seed, "fine", steps, (L.fine_window, L.codebook_size))
        frames = np.arange(window.fill, min(window.start + L.fine_window, n_history + T))
        noise_QT[:, frames - n_history] = window_noise[:, frames - window.start]
    np.testing.assert_array_equal(drawn("fine", noise_QT)[Q:], one.fine[Q:], err_msg="fine")


def test_the_rows_have_every_kind_of_pass(made):
    lengths = [row.fine.shape[1] for row in made]
    assert max(lengths) > L.fine_window and max(lengths) * Q > 2 * L.coarse_window


def test_shapes_and_what_was_given(made, scores):
    for one, row in zip(made, scores, strict=True):
        assert row.semantic.shape == (len(one.semantic) + 1,)
        assert row.coarse.shape == one.coarse.shape and row.fine.shape == one.fine.shape
        assert np.isnan(row.fine[:Q]).all() and not np.isnan(row.fine[Q:]).any()
        for stage in ("semantic", "coarse", "fine"):
            log_p = getattr(row, stage)
            assert log_p.dtype == np.float32 and row.details["rank"][stage].shape == log_p.shape
        assert row.total == pytest.approx(
            sum(np.nansum(s) for s in (row.semantic, row.coarse, row.fine)), rel=1e-5
        )


def test_greedy_tokens_are_certain(scores):
    greedy = scores[2]
    assert (greedy.coarse == 0).all() and (greedy.fine[Q:] == 0).all()
    assert (greedy.semantic[:-1] == 0).all()
    assert (greedy.details["rank"]["coarse"] == 0).all()
    assert (greedy.details["entropy"]["fine"][Q:] == 0).all()


def test_log_probability_entropy_and_rank_are_those_of_the_logits(bark, made):
    (row,) = bark.score(made[:1], temperature=0.6, details=["logits", "rank", "entropy"])
    for stage, tokens in (("coarse", made[0].coarse), ("fine", made[0].fine)):
        logits = row.details["logits"][stage].astype(np.float64)
        p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        at = tokens[..., None]
        want = np.log(np.take_along_axis(p, at, -1))[..., 0]
        np.testing.assert_allclose(getattr(row, stage), want, atol=1e-5)  # float32 of about 20
        np.testing.assert_allclose(
            row.details["entropy"][stage], -(p * np.log(p)).sum(-1), atol=1e-5
        )
        ranks = (logits > np.take_along_axis(logits, at, -1)).sum(-1)
        known = slice(Q, None) if stage == "fine" else slice(None)
        np.testing.assert_array_equal(row.details["rank"][stage][known], ranks[known])


def test_rows_give_their_solo_scores(bark, made):
    temperatures = [1.0, 0.5, 1.0, 2.0]
    batch = bark.score(made, voice=VOICES, temperature=temperatures)
    for i in (1, 3):
        solo = bark.score(made[i], voice=VOICES[i], temperature=temperatures[i])
        for stage in ("semantic", "coarse", "fine"):
            # float rounding of another batch shape
            np.testing.assert_allclose(
                getattr(solo, stage), getattr(batch[i], stage), atol=2e-5, err_msg=stage
            )


def test_tokens_from_elsewhere(bark, made):
    """A recording has codes, and perhaps semantic tokens, but no text that was drawn from."""
    one = made[0]
    scores = bark.score(semantic=one.semantic, fine=one.fine)
    assert scores.semantic is None
    own = bark.score(one)
    np.testing.assert_allclose(scores.coarse, own.coarse, atol=2e-5)
    longer = bark.score(semantic=[one.semantic, one.semantic[:6]], coarse=[one.coarse] * 2)
    assert [row.coarse.shape for row in longer] == [one.coarse.shape] * 2
    assert longer[0].fine is None and longer[0].means().keys() == {"coarse"}


def test_nothing_drawn_has_the_score_of_its_end(bark, made):
    """A row may end with its first draw."""
    nothing = np.zeros(0, np.int32)
    row = bark.score(text="hello", semantic=nothing, coarse=np.zeros((Q, 0), np.int32))
    assert row.semantic.shape == (1,) and row.coarse.shape == (Q, 0)
    assert row.total == pytest.approx(float(row.semantic[0]))


def test_new_tokens_and_temperatures_reuse_every_program(bark, made, compilations):
    bark.score(made[0], temperature=0.5)
    before = compilations()
    bark.score(made[0], temperature=0.9)
    bark.score(text="other", semantic=made[0].semantic[::-1], fine=made[0].fine[:, ::-1])
    assert compilations() == before


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({}, "nothing to score: want a generation, or some of semantic, coarse, fine"),
        ({"semantic": [60]}, "semantic has values 60 … 60, want 0 … 49"),
        ({"coarse": np.zeros((2, 4), int)}, "coarse has shape (2, 4), want (3 … 3, T)"),
        ({"fine": np.zeros((5, 4), int), "details": ["rang"]}, "details=['rang'] are not among"),
        ({"semantic": [1], "temperature": -1}, "temperature=-1 is not allowed"),
        ({"generation": "hello"}, "generation='hello', want a Generation or a list of them"),
        ({"semantic": [[1], [2]], "coarse": [np.zeros((3, 4), int)]}, "'semantic': 2, 'coarse': 1"),
    ],
)  # fmt: skip
def test_refusals(bark, kwargs, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        bark.score(**kwargs)


def test_a_voice_without_a_name_is_asked_for(bark, made):
    with pytest.raises(ValueError, match="voice=None, but the generation was made with a dict"):
        bark.score(made[1])
