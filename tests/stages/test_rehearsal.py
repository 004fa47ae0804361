"""The later stages are rehearsed once, where that can help, and never change what a call does."""

import dataclasses

import numpy as np
import pytest

from bark_jax import Bark
from bark_jax.runtime.placement import StageParams
from bark_jax.stages import rehearsal
from tests import tiny


@pytest.fixture
def possible(monkeypatch):
    """As on a machine with one device and a compile cache."""
    monkeypatch.setattr(rehearsal, "can_rehearse", lambda: True)
    monkeypatch.setattr(rehearsal, "_rehearsed", set())


def test_once_for_a_model_and_a_number_of_rows(possible, monkeypatch):
    asked = []
    monkeypatch.setattr(
        rehearsal, "_rehearse", lambda runner, batch, is_over: asked.append(batch.n_rows)
    )
    bark = tiny.make_bark()
    for text in ("hello", "good morning", ["hello", "hello"]):
        bark.generate(text)
    assert asked == [1, 2]
    rehearsal._rehearsed.clear()
    tiny.make_bark(offload=True).generate("hello")  # the device holds one stage at a time
    bark.with_stages(codec=lambda codes: [np.zeros(1, np.float32) for _ in codes]).generate("hello")
    assert asked == [1, 2]


def test_what_goes_wrong_is_told_by_the_stage(possible, capfd):
    def damaged():
        raise ValueError("the 'fine' stage is damaged")

    bark = tiny.make_bark()
    params = {**bark.runner.params, "fine": StageParams(damaged)}
    with pytest.raises(ValueError, match="the 'fine' stage is damaged"):
        Bark(dataclasses.replace(bark.runner, params=params), bark.voices).generate("hello")
    assert capfd.readouterr().err == ""
