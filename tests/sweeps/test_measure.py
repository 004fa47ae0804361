"""What a point's metrics say, on a real model with tiny sizes."""

import numpy as np
import pytest

from bark_jax.config import from_dict
from bark_jax.sweeps.measure import measure
from bark_jax.sweeps.settings import PointSettings
from tests import tiny


def length_unless_odd(made) -> float:
    """A judge of a user's."""
    return float("nan") if made.seed % 2 else float(len(made.semantic))


@pytest.fixture(scope="module")
def bark():
    return tiny.make_bark()


@pytest.mark.parametrize("seed", [1, 2])
def test_scores_and_marks_of_judges_are_metrics(bark, seed):
    judges = ["likelihood:fine", f"{__name__}:length_unless_odd"]
    metrics = {"f0": False, "score": True, "judges": judges}
    sampling = {"semantic": {"max_duration_s": 0.8, "allow_early_stop": False}}
    settings = {"prompts": {"text": "hello"}, "seed": seed, "metrics": metrics}
    point = from_dict(PointSettings, settings | {"sampling": sampling})
    made = bark.generate("hello", seed=seed, sampling=sampling)
    found, _ = measure(bark, point, made)
    scores = bark.score(made)
    for stage in ("semantic", "coarse", "fine"):
        mean = np.nanmean(getattr(scores, stage))
        assert found[f"{stage}_log_p"] == pytest.approx(float(mean), abs=1e-5), stage
    assert found["mark_likelihood_fine"] == found["fine_log_p"]
    marks = {1: None, 2: len(made.semantic)}  # NaN is no JSON
    assert found["mark_tests_sweeps_test_measure_length_unless_odd"] == marks[seed]
