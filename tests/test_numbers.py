"""Numbers that users bring."""

import math

import numpy as np
import pytest

from bark_jax.numbers import as_whole, is_finite, is_whole, plain, shown


def test_numpys_values_become_pythons():
    values = plain([np.int64(1), np.float32(0.5), (np.bool_(True), None), np.arange(2)])
    assert values == [1, 0.5, (True, None), [0, 1]]
    assert [type(value) for value in values[:2]] == [int, float]


@pytest.mark.parametrize(
    ("value", "finite", "whole"),
    [
        (1, True, True), (0.5, True, False), (True, False, False), ("1", False, False),
        (math.nan, False, False), (math.inf, False, False), (10**400, False, True),
        (None, False, False),
    ],
)  # fmt: skip
def test_what_counts_as_a_number(value, finite, whole):
    assert (is_finite(value), is_whole(value)) == (finite, whole)


def test_whole_floats_are_whole():
    assert as_whole(7.0) == 7 and isinstance(as_whole(7.0), int)
    assert as_whole(7.5) == 7.5 and as_whole("7.0") == "7.0"


def test_any_value_is_shown_in_few_characters():
    assert shown(7.5) == "7.5"
    assert shown(10**400) == "1" + "0" * 76 + "..."
    assert shown(10**5000) == "a number of 16610 bits"
    assert shown([10**5000]) == "list"
