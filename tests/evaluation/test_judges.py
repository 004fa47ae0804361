"""Best of n: seeds, order and marks; and what the judges say of a generation."""

import re

import numpy as np
import pytest

from bark_jax.evaluation import judges
from tests import tiny
from tests.fake_bark import tone

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
    judge = judges.word_accuracy()
    assert judge(tone("hello there", None, 1, {})) == 1 - 2 / 2  # one wrong, one added


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"n": 0, "text": "a"}, "n=0 is not allowed; want a whole number >= 1"),
        ({"n": 2, "text": ["a", "b"]}, "best_of speaks one text in one voice, got ['a', 'b']"),
        ({"n": 2, "text": "a", "seed": [1, 2]}, "seed has 2 entries"),
    ],
)
def test_refusals(bark, kwargs, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        bark.best_of(by=lambda made: 0.0, **kwargs)
