"""Names of tensors, whatever a checkpoint was wrapped in."""

import pytest

from bark_jax.conversion.rules import normalise


@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "module.", "module._orig_mod.module."])
def test_any_run_of_wrappers_is_undone(prefix):
    assert normalise(f"{prefix}semantic.lm_head.weight") == "semantic.lm_head.weight"
    assert normalise(f"{prefix}transformer.h.0.attn.bias") is None


def test_only_the_beginning_of_a_name_is_a_wrapper():
    assert normalise("encoder.module.weight") == "encoder.module.weight"
