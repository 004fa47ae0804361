"""What a run is going to take."""

import jax
import jax.numpy as jnp

from bark_jax.training.run.estimate import count_flops


def test_operations_inside_loops_are_counted():
    def looped(x):
        return jax.lax.map(lambda row: row @ jnp.ones((6, 7)), x)

    traced = jax.make_jaxpr(looped)(jnp.zeros((3, 5, 6)))
    assert count_flops(traced.jaxpr) == 3 * 2 * 5 * 6 * 7
