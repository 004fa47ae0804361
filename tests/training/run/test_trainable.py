"""Which parameters are trained: all, all but the frozen ones, or low-rank additions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bark_jax.training.run.trainable import DOWN, EMBEDDINGS, UP, LoraSettings, Trainable
from bark_jax.training.tasks.make import make_task
from tests import tiny

TASK = make_task("fine", tiny.CONFIG, window=16)


def join_all(trainable, params):
    changed, kept = trainable.split(TASK, params, jax.random.key(0))
    return changed, trainable.join(changed, kept)


def test_frozen_parameters_are_kept():
    params = tiny.stage_params("fine")
    changed, joined = join_all(Trainable(frozen=(EMBEDDINGS,)), params)
    assert set(changed) == set(params) - {"wtes", "wpe"}
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), joined, params))


def test_lora_starts_at_the_model_and_adds_a_scaled_product():
    params = tiny.stage_params("fine")
    trainable = Trainable(lora=LoraSettings(rank=2, alpha=6.0, targets=(r".*\.c_fc\.weight",)))
    changed, joined = join_all(trainable, params)
    weight = lambda tree: tree["h"]["0"]["mlp"]["c_fc"]["weight"]  # noqa: E731
    np.testing.assert_array_equal(weight(joined), weight(params))
    factors = weight(changed)
    assert {name: leaf.shape for name, leaf in factors.items()} == {DOWN: (2, 14), UP: (56, 2)}
    factors[UP] = jnp.ones_like(factors[UP])
    moved = weight(trainable.join(changed, params)) - weight(params)
    expected = 3.0 * np.ones((56, 2)) @ np.asarray(factors[DOWN])
    np.testing.assert_allclose(moved, expected, atol=1e-5)  # a difference of sums around 1


@pytest.mark.parametrize(
    ("trainable", "message"),
    [
        (Trainable(frozen=("wtes",)), "freeze: 'wtes' fits no parameter; there are .*h.0.attn"),
        (Trainable(frozen=(".*",)), "leave nothing to train"),
        (Trainable(lora=LoraSettings(rank=2, targets=(r".*ln_1.*",))), "ln_1.bias is not a matrix"),
    ],
)
def test_what_cannot_be_trained_is_named(trainable, message):
    with pytest.raises(ValueError, match=message):
        trainable.split(TASK, tiny.stage_params("fine"), jax.random.key(0))
