"""What a failed conversion says."""

from bark_jax.conversion.convert import listed


def test_long_lists_of_errors_are_capped_with_a_count():
    errors = [f"x{i} is unexpected" for i in range(400)]
    assert listed(errors[:2]) == "x0 is unexpected; x1 is unexpected"
    assert listed(errors).endswith("x19 is unexpected; and 380 more")
