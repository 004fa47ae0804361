"""What each processor does to logits, one row's values at a time. Hugging Face's: tests/parity."""

import re

import flax.struct
import jax.numpy as jnp
import numpy as np
import pytest

from bark_jax.processors import (
    Ban,
    Bias,
    DrawContext,
    MinLength,
    MinP,
    RepetitionPenalty,
    TopK,
    TopP,
    Typical,
)
from bark_jax.processors.rows import apply_steps, steps_of

V = 6
LOGITS_V = np.array([3.0, 2.5, -1.0, 1.0, 0.0, -2.0], np.float32)
END = V - 1


def apply(*rows, drawn=(), logits_V=LOGITS_V) -> np.ndarray:
    """Logits (B, V) of rows that each have a list of processors, after drawing the same ids."""
    n = len(rows)
    ids_BN = jnp.asarray([[*drawn, 4, 4]] * n, jnp.int32)  # the last two are not drawn yet
    context = DrawContext(
        position_B=jnp.full(n, len(drawn), jnp.int32),
        codebook=0,
        end_id=END,
        parts=[(ids_BN, jnp.full(n, len(drawn), jnp.int32))],
    )
    logits_BV = jnp.asarray(np.stack([logits_V] * n))
    return np.asarray(apply_steps(logits_BV, steps_of(rows), lambda: context))


def kept(processor, **kwargs) -> list[int]:
    return np.flatnonzero(np.isfinite(apply([processor], **kwargs)[0])).tolist()


def changes(processor, **kwargs) -> dict[int, float]:
    """The ids whose logit changed, and their new one."""
    got_V = apply([processor], **kwargs)[0]
    return {int(i): float(got_V[i]) for i in np.flatnonzero(got_V != LOGITS_V)}


@pytest.mark.parametrize(
    "processor, want",
    [
        (TopK(2), [0, 1]),
        (TopP(0.5), [0]),
        (TopP(0.6), [0, 1]),  # the id that crosses the threshold stays
        (TopP(1), [0, 1, 2, 3, 4, 5]),
        (MinP(0.6), [0, 1]),  # exp(-0.5) = 0.61 of the likeliest
        (MinP(0.61), [0]),
        (MinP(1), [0]),
        (MinP(0), [0, 1, 2, 3, 4, 5]),
        # the entropy is 1.09 nat; surprises 0.59, 1.09, 4.59, 2.59, 3.59, 5.59
        (Typical(0.3), [1]),
        (Typical(0.4), [0, 1]),
        (Typical(1), [0, 1, 2, 3, 4, 5]),
        (Ban([0, 5]), [1, 2, 3, 4]),
        (Ban([]), [0, 1, 2, 3, 4, 5]),
    ],
)
def test_what_is_kept(processor, want):
    assert kept(processor) == want


def test_bias_adds_up():
    assert changes(Bias([1, 3, 1], [0.5, -1, 0.25])) == {1: 3.25, 3: 0.0}


def test_repetition_is_made_less_likely_on_either_side_of_zero():
    assert changes(RepetitionPenalty(2), drawn=[0, 2, 2]) == {0: 1.5, 2: -2.0}


def test_the_end_waits_for_the_minimal_length():
    assert changes(MinLength(2), drawn=[1]) == {END: -np.inf}
    assert changes(MinLength(2), drawn=[1, 1]) == {}


@pytest.mark.parametrize("processor", [TopK(3), TopP(0.9), MinP(0.1), Typical(0.9), Ban([1])])
def test_what_is_closed_stays_closed(processor):
    closed_V = np.where(np.arange(V) == 0, -np.inf, LOGITS_V).astype(np.float32)
    got = apply([processor], logits_V=closed_V)[0]
    assert np.isneginf(got[0]) and np.isfinite(got).any() and not np.isnan(got).any()


def test_order_is_that_of_the_list():
    """Of the two likeliest one is banned; banned first, another takes its place."""
    one, other = apply([TopK(2), Ban([0])], [Ban([0]), TopK(2)])
    assert np.flatnonzero(np.isfinite(one)).tolist() == [1]
    assert np.flatnonzero(np.isfinite(other)).tolist() == [1, 3]


ROWS = [
    [MinP(0.3), Ban([0])],
    [],
    [Ban([1, 2, 3, 4, 5, 0, 1, 2, 3]), Bias([0], [9.0])],
    [Ban([0]), MinP(0.3), Ban([1])],
    [RepetitionPenalty(1.5), TopK(3), Typical(0.5)],
]


def test_rows_with_their_own_lists_get_their_solo_result():
    batch = apply(*ROWS, drawn=[0, 3])
    for row, got_V in zip(ROWS, batch, strict=True):
        np.testing.assert_array_equal(got_V, apply(row, drawn=[0, 3])[0])


def test_rows_share_what_they_can():
    kinds = [type(step.processor) for step in steps_of(ROWS[:4])]
    assert kinds == [MinP, Ban, Bias, MinP, Ban]


def test_whole_numbers_and_lengths_of_lists_share_a_program():
    def shapes(*row):
        return [
            {name: (leaf.shape, leaf.dtype) for name, leaf in vars(step.processor).items()}
            for step in steps_of([row])
        ]

    assert shapes(MinP(0), Ban([1])) == shapes(MinP(0.5), Ban([1, 2, 3, 4]))


@flax.struct.dataclass
class Odd:
    values: object

    def __call__(self, logits_BV, context):
        return logits_BV


def test_values_without_a_common_shape_are_named():
    with pytest.raises(ValueError, match=re.escape("'values' of a processor want numbers")):
        steps_of([[Odd(np.zeros((2, 3)))], [Odd(np.zeros((4, 3)))]])
    with pytest.raises(ValueError, match=re.escape("'values' of a processor want numbers")):
        steps_of([[Odd("much")]])


@pytest.mark.parametrize(
    "processor, message",
    [
        (TopP(1.5), "TopP.p=1.5 is not allowed; want a number in 0 … 1"),
        (TopK(0), "TopK.k=0 is not allowed; want a whole number >= 1"),
        (MinP(-0.1), "MinP.p=-0.1 is not allowed"),
        (Typical(float("nan")), "Typical.mass=nan is not allowed"),
        (Bias([1, 2], [0.5]), "Bias.values=[0.5] is not allowed; want 2 finite numbers"),
        (Bias([1], [float("inf")]), "Bias.values=[inf] is not allowed"),
        (Bias([6], [1.0]), "Bias.ids=[6] is not allowed; want a list of ids in 0 … 5"),
        (Ban([-1]), "Ban.ids=[-1] is not allowed"),
        (Ban([0.5]), "Ban.ids=[0.5] is not allowed"),
        (Ban(3), "Ban.ids=3 is not allowed"),
        (Ban(range(6)), "Ban.ids holds all 6 ids"),
        (RepetitionPenalty(0), "RepetitionPenalty.penalty=0 is not allowed; want a number > 0"),
        (MinLength(-1), "MinLength.tokens=-1 is not allowed"),
    ],
)
def test_values_out_of_range_are_named(processor, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        processor.check(V)


@pytest.mark.parametrize(
    "processor", [TopP(0), TopP(1), TopK(2**31 - 1), MinP(0), Ban([5]), Ban([])]
)
def test_values_at_the_edge_are_allowed(processor):
    processor.check(V)
