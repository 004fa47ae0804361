"""Noise depends on a row's seed, the stage and the step, and on nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bark_jax.config import STAGES
from bark_jax.decoding.noise import InjectedNoise, KeyNoise, noise_of


def gumbel(seeds, stage="semantic", step=0, shape=(7,)) -> np.ndarray:
    noise = KeyNoise.of(seeds, stage)
    return np.asarray(noise.gumbel(jnp.full(len(seeds), step), shape))


def test_a_row_does_not_see_its_batch():
    together = gumbel([5, 6, 7])
    for row, seed in zip(together, [5, 6, 7], strict=True):
        np.testing.assert_array_equal(row, gumbel([seed])[0])


def test_rows_may_be_at_different_steps():
    noise = KeyNoise.of([5, 5], "semantic")
    both = noise.gumbel(jnp.array([3, 4]), (7,))
    np.testing.assert_array_equal(both[0], gumbel([5], step=3)[0])
    np.testing.assert_array_equal(both[1], gumbel([5], step=4)[0])


def test_seeds_stages_and_steps_have_their_own_noise():
    seeds = (0, 1, 2**32, 2**32 + 1, 2**63, 2**64 - 1)
    draws = [
        gumbel([seed], stage, step)[0]
        for seed in seeds
        for stage in STAGES
        for step in (0, 1, 1000)
    ]
    assert len(np.unique(np.stack(draws), axis=0)) == len(draws)


def test_keys_are_folded_from_seed_stage_and_step():
    """The values for good: they are what a seed means."""
    seed = 5 * 2**32 + 3
    root = jax.random.wrap_key_data(jnp.array([5, 3], jnp.uint32), impl="threefry2x32")
    key = jax.random.fold_in(jax.random.fold_in(root, STAGES.index("coarse")), 9)
    np.testing.assert_array_equal(gumbel([seed], "coarse", 9)[0], jax.random.gumbel(key, (7,)))


def test_it_is_gumbel_noise():
    values = gumbel([0], shape=(20_000,))[0]
    # mean and standard deviation of the distribution, to 5 standard errors of 20,000 draws
    assert abs(values.mean() - np.euler_gamma) < 0.046
    assert abs(values.std() - np.pi / np.sqrt(6)) < 0.07


def test_it_does_not_depend_on_the_default_generator():
    with jax.default_prng_impl("rbg"):
        other = gumbel([11])
    np.testing.assert_array_equal(other, gumbel([11]))


def test_injected_noise_goes_to_its_row_and_step():
    rows = [np.arange(6.0).reshape(2, 3), 10 + np.arange(9.0).reshape(3, 3)]
    noise = noise_of("coarse", [0, 0], rows, (3,), [2, 3])
    assert isinstance(noise, InjectedNoise)
    np.testing.assert_array_equal(noise.gumbel(jnp.array([1, 2]), (3,)), [[3, 4, 5], [16, 17, 18]])


@pytest.mark.parametrize(
    "rows, message",
    [
        ([np.zeros((4, 3))], "noise has 1 entries, the batch has 2 rows"),
        ([np.zeros((4, 3)), np.zeros((4, 2))], r"has shape \(4, 2\), want \(steps, \*\(3,\)\)"),
        ([np.zeros(3), np.zeros(3)], r"has shape \(3,\)"),
        ([np.zeros((4, 3)), np.zeros((3, 3))], "has 3 steps, row 1 may need 4"),
        ([np.zeros((4, 3)), np.full((4, 3), np.nan)], "noise of the coarse stage is not finite"),
        ([np.zeros((4, 3)), np.full((4, 3), 1e39)], "coarse stage is not finite in row 1"),
        ([np.zeros((4, 3), object)] * 2, "noise of the coarse stage has dtype object, want floats"),
    ],
)
def test_unfit_noise_is_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        noise_of("coarse", [0, 0], rows, (3,), [4, 4])
