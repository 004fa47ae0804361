"""A package whose kernels were not built: everything works, and fewer bytes are told to be slow."""

import importlib.util

import numpy as np
import pytest

from bark_jax.formulations.cpu import Cpu
from bark_jax.kernels import native
from bark_jax.pipeline import Bark
from bark_jax.runtime.execution import Execution
from tests import tones


@pytest.fixture
def no_kernels(monkeypatch):
    native._library.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    yield
    native._library.cache_clear()


def test_xla_computes_alone(no_kernels, tmp_path):
    assert Execution.on("cpu").formulation == Cpu()
    folder = tones.write_model(tmp_path / "model")
    with pytest.warns(UserWarning, match="saves memory here, but no time: its kernels were not"):
        bark = Bark.from_pretrained(folder, weights="int8")
    assert bark.runner.execution.formulation == Cpu()
    made = bark.generate("hello", seed=3, sampling={"semantic": {"max_duration_s": 0.6}})
    assert made.audio.size and np.isfinite(made.audio).all()
    with pytest.raises(RuntimeError, match="cannot compute this here: its kernels were not built"):
        native.linear(np.ones((1, 2), np.float32), np.ones((3, 2), np.int8))
