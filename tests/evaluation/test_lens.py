"""The logit lens: what the head reads of the last layer is what is drawn from."""

import numpy as np
import pytest

from bark_jax.evaluation.lens import logit_lens
from tests import tiny

Q = tiny.LAYOUT.n_coarse_codebooks


def test_the_last_layer_has_the_models_own_logits():
    bark = tiny.make_bark()
    rng = np.random.default_rng(0)
    semantic = rng.integers(0, 50, 9)
    fine = rng.integers(0, 20, (5, 23))
    known = dict(text="hello", semantic=semantic, coarse=fine[:Q], fine=fine)
    trace = bark.trace(names="**.resid", **known)
    logits = bark.score(details=["logits"], **known).details["logits"]
    logits["coarse"] = logits["coarse"].swapaxes(0, 1).reshape(-1, 20)
    for stage, values in logits.items():
        found = logit_lens(bark, trace, stage)
        assert len(found) == getattr(bark.config, stage).n_layer
        skipped = Q if stage == "fine" else 0  # given codebooks are NaN
        # logits near 10, in float32
        np.testing.assert_allclose(found[-1][skipped:], values[skipped:], atol=2e-5)
        assert stage == "fine" or np.abs(found[0] - values).max() > 1  # an earlier layer differs
    with pytest.raises(ValueError, match="stage='codec' is not one of"):
        logit_lens(bark, trace, "codec")
    with pytest.raises(KeyError, match="is not in the trace"):
        logit_lens(bark, bark.trace(names="semantic.embed", **known), "semantic")
