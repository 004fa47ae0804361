"""AdamW, its learning rate and its settings."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bark_jax.training.run.optimizer import (
    OptimizerSettings,
    descent,
    learning_rate,
    make_optimizer,
)


def test_learning_rate_warms_up_and_falls_with_the_share_done():
    settings = OptimizerSettings(learning_rate=2.0, final_share=0.1, warmup_steps=4)
    rate = lambda step, progress: float(  # noqa: E731
        learning_rate(settings, jnp.int32(step), jnp.float32(progress))
    )
    assert [rate(step, 0.0) for step in range(5)] == [0.5, 1.0, 1.5, 2.0, 2.0]
    # cosine from 2 to 0.2; float32 trigonometry
    np.testing.assert_allclose([rate(9, p) for p in (0.5, 1.0, 2.0)], [1.1, 0.2, 0.2], rtol=1e-6)


def test_only_matrices_decay_and_gradients_are_clipped():
    params = {"matrix": jnp.full((2, 2), 3.0), "gain": jnp.full(2, 3.0)}
    settings = OptimizerSettings(weight_decay=0.5, clip_norm=1.0)
    begin = make_optimizer(settings).init(params)
    zero = jax.tree.map(jnp.zeros_like, params)
    updates, _ = descent(settings, zero, begin, params)
    assert float(updates["matrix"][0, 0]) == 1.5
    assert float(updates["gain"][0]) == 0.0
    huge = jax.tree.map(lambda p: 1e6 * jnp.ones_like(p), params)
    _, state = descent(settings, huge, begin, params)
    mean = optax.tree_utils.tree_get(state, "mu")
    # 1 - beta1 of a gradient of norm 1
    np.testing.assert_allclose(float(optax.tree.norm(mean)), 0.1, rtol=1e-5)


@pytest.mark.parametrize("field", ["learning_rate", "beta1", "warmup_steps", "clip_norm"])
def test_bad_optimizer_settings_are_named(field):
    with pytest.raises(ValueError, match=f"optimizer.{field}=-1"):
        OptimizerSettings(**{field: -1})
