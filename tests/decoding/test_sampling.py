"""Filters, temperature and the draw: the worked vector, ties, rows with their own values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bark_jax.decoding.sampling import Filter, draw, filter_logits, probability
from bark_jax.sampling_config import Chain

VECTOR = [3.0, 2.5, 2.0, 1.0, 0.0, -1.0]


def filter_of(temperature=1.0, top_k=None, top_p=None) -> Filter:
    """One row's filter."""
    rows = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "processors": Chain()}
    return Filter.of({name: [value] for name, value in rows.items()})


def filtered(logits_BV, by: Filter) -> jax.Array:
    return filter_logits(logits_BV, by, context=lambda: pytest.fail("nothing asks for it"))


def probabilities(logits, temperature=1.0, top_k=None, top_p=None) -> np.ndarray:
    by = filter_of(temperature, top_k, top_p)
    kept_BV = filtered(jnp.array([logits]), by)
    return np.asarray(jax.nn.softmax(kept_BV / temperature))[0]


@pytest.mark.parametrize(
    "top_p, top_k, want",
    [
        (None, None, [0.554420, 0.271412, 0.132867, 0.031842, 0.007631, 0.001829]),
        (None, 3, [0.578304, 0.283104, 0.138591]),
        (0.8, None, [0.578304, 0.283104, 0.138591]),
        (0.9, None, [0.578304, 0.283104, 0.138591]),
        (0.5, None, [0.671347, 0.328653]),
        (0.9, 2, [0.671347, 0.328653]),
        (0.0, None, [1.0]),
        (None, 1, [1.0]),
        (None, 100, [0.554420, 0.271412, 0.132867, 0.031842, 0.007631, 0.001829]),
    ],
)
def test_worked_vector(top_p, top_k, want):
    """top_p 0.8 keeps three: the threshold is on logits that no temperature has touched yet. After
    the temperature it would keep two."""
    got = probabilities(VECTOR, 0.7, top_k, top_p)
    np.testing.assert_allclose(got[: len(want)], want, atol=6e-7)  # the table's last digit
    assert not got[len(want) :].any()


def test_order_of_the_input_does_not_matter():
    order = np.array([4, 1, 5, 0, 3, 2])
    got = probabilities(np.array(VECTOR)[order], 0.7, top_p=0.8)
    np.testing.assert_allclose(got, probabilities(VECTOR, 0.7, top_p=0.8)[order], atol=1e-7)


@pytest.mark.parametrize("top_k", [1, 2])
def test_ties_with_the_last_kept_stay(top_k):
    got = probabilities([1.0, 1.0, 1.0, 0.0], top_k=top_k)
    np.testing.assert_allclose(got, [1 / 3, 1 / 3, 1 / 3, 0], atol=1e-7)


def test_top_p_one_keeps_everything_that_float32_can_see():
    logits = np.random.default_rng(0).normal(size=1000)
    np.testing.assert_allclose(probabilities(logits, top_p=1.0), probabilities(logits), atol=1e-6)


def test_without_filters_logits_come_back_untouched():
    logits_BV = jnp.array([VECTOR])
    np.testing.assert_array_equal(filtered(logits_BV, filter_of()), logits_BV)


def test_rows_have_their_own_filters():
    by = Filter.of(
        {
            "temperature": [1.0, 1.0, 1.0],
            "top_k": [None, 2, None],
            "top_p": [None, None, 0.8],
            "processors": [Chain()] * 3,
        }
    )
    kept_BV = np.isfinite(filtered(jnp.array([VECTOR] * 3), by))
    np.testing.assert_array_equal(kept_BV.sum(-1), [6, 2, 3])


def test_closed_ids_stay_closed():
    logits_BV = jnp.array([[3.0, -jnp.inf, 1.0, -jnp.inf]])
    for by in (filter_of(), filter_of(top_k=3), filter_of(top_p=0.99)):
        np.testing.assert_array_equal(
            np.isfinite(filtered(logits_BV, by)), [[True, False, True, False]]
        )


def test_a_top_k_beyond_int32_is_no_filter():
    np.testing.assert_array_equal(probabilities(VECTOR, top_k=2**40), probabilities(VECTOR))


def test_draw_at_temperature_zero_is_argmax():
    logits_BV = jnp.array([VECTOR, VECTOR[::-1]])
    noise_BV = 100 * jax.random.gumbel(jax.random.key(0), logits_BV.shape)
    np.testing.assert_array_equal(draw(logits_BV, noise_BV, jnp.zeros(2)), [0, 5])


def test_draw_follows_the_tempered_distribution():
    n = 40_000
    logits_BV = jnp.broadcast_to(jnp.array(VECTOR), (n, 6))
    noise_BV = jax.random.gumbel(jax.random.key(1), (n, 6))
    token_B = draw(logits_BV, noise_BV, jnp.full(n, 0.7))
    share = np.bincount(np.asarray(token_B), minlength=6) / n
    # 5 standard deviations of a share near 1/2 of 40,000 draws
    np.testing.assert_allclose(share, probabilities(VECTOR, 0.7), atol=0.0125)


def test_draw_is_the_draw_of_torch():
    """argmax(p / E) with E from Exp(1) is argmax(log p + g) with g = -log E."""
    rng = np.random.default_rng(2)
    logits_BV = rng.normal(size=(500, 50)).astype(np.float32)
    E_BV = rng.exponential(size=(500, 50)).astype(np.float32)
    p_BV = np.asarray(jax.nn.softmax(jnp.asarray(logits_BV) / 0.7))
    token_B = draw(jnp.asarray(logits_BV), jnp.asarray(-np.log(E_BV)), jnp.full(500, 0.7))
    np.testing.assert_array_equal(token_B, np.argmax(p_BV / E_BV, axis=-1))


def test_probability_is_after_temperature():
    logits_BV = jnp.array([VECTOR, VECTOR])
    p_B = probability(logits_BV, 1, jnp.array([0, 0]), jnp.array([0.7, 1.0]))
    want = [probabilities(VECTOR, 0.7)[1], probabilities(VECTOR)[1]]
    np.testing.assert_allclose(p_B, want, atol=1e-6)


def test_probability_at_temperature_zero_lies_on_the_drawn_id():
    logits_BV = jnp.array([VECTOR, VECTOR])
    p_B = probability(logits_BV, 1, jnp.array([0, 1]), jnp.zeros(2))
    np.testing.assert_array_equal(p_B, [0, 1])


def test_probability_of_a_filtered_id_is_zero():
    kept_BV = filtered(jnp.array([VECTOR]), filter_of(top_k=1))
    np.testing.assert_array_equal(probability(kept_BV, 5, jnp.array([0]), jnp.ones(1)), [0])
