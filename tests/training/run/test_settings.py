"""Settings that do not fit each other."""

import pytest

from bark_jax.training.run.settings import FinetuneSettings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stage": "text"}, "stage='text' is not one of"),
        ({"steps": None}, "give steps or max_minutes"),
        ({"accumulate": 3}, "batch_size=16 is not a multiple of accumulate=3"),
        ({"model": {}}, "give model.source=MODEL to start from a model, or model=tiny"),
        ({"eval_every": 0}, "eval_every=0, want at least 1"),
        ({"export": "first"}, "export='first'"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        right = {"stage": "fine", "data": "D", "out": "R", "model": {"source": "M"}, "steps": 9}
        FinetuneSettings(**{**right, **change})
