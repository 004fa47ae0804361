"""A batch cut into micro-batches gives the gradient of the whole."""

import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.params import flatten
from bark_jax.training.run.optimizer import OptimizerSettings
from bark_jax.training.run.step import Recipe, accumulate
from bark_jax.training.run.trainable import Trainable
from bark_jax.training.tasks.make import make_task
from tests import tiny
from tests.training.tasks.test_tasks import batch_of, example_of, record_of


def test_micro_batches_add_up_to_the_whole():
    task = make_task("fine", tiny.CONFIG, window=24)
    recipe = Recipe(task, OptimizerSettings(), Trainable(), ema=0.0)
    state = recipe.init(tiny.stage_params("fine"), jax.random.key(0))
    # rows of different lengths: a mean over rows of means would be another number
    rows = batch_of(*(example_of(task, record_of(n), seed=n) for n in (2, 3, 9, 12)))

    @jax.jit
    def run(batch):
        return accumulate(recipe, state, batch, jnp.float32(0))[:2]

    whole, whole_sums = run({name: array[None] for name, array in rows.items()})
    for n_micro in (2, 4):
        cut = {name: array.reshape(n_micro, -1, *array.shape[1:]) for name, array in rows.items()}
        parts, parts_sums = run(cut)
        np.testing.assert_array_equal(whole_sums["loss"][1], parts_sums["loss"][1])
        # float32 sums in another order; gradients reach about 30
        np.testing.assert_allclose(whole_sums["loss"][0], parts_sums["loss"][0], rtol=1e-5)
        for name, gradient in flatten(whole).items():
            np.testing.assert_allclose(gradient, flatten(parts)[name], rtol=1e-4, atol=1e-4)
