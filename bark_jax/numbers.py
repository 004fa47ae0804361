"""Numbers that users bring: Python's, NumPy's and JSON's, checked in one place."""

import math
from collections.abc import Callable
from typing import Any

Allowed = tuple[str, Callable[[Any], bool]]  # values in words; whether a value is one of them


def plain(value: Any) -> Any:
    """NumPy arrays and scalars as Python values, inside lists and tuples as well."""
    if isinstance(value, list | tuple):
        return type(value)(map(plain, value))
    return value.tolist() if hasattr(value, "tolist") else value


def is_finite(value: Any) -> bool:
    """Whether a plain value is a number that a float can hold; True and False are not numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of more than 308 digits
        return False


def as_whole(value: Any) -> Any:
    """A float without a fraction as the whole number that it is (JSON may write 7 as 7.0)."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def is_whole(value: Any) -> bool:
    """Whether a plain value is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_allowed(name: str, value: Any, allowed: Allowed) -> None:
    """Raises ValueError unless a plain value is allowed; None is where the words name it."""
    words, is_allowed = allowed
    if not (value is None and "None" in words) and not is_allowed(value):
        raise ValueError(f"{name}={shown(value)} is not allowed; want {words}")


COUNT: Allowed = ("a whole number >= 1", lambda value: is_whole(value) and value >= 1)


def shown(value: Any) -> str:
    """A value for an error message: at most 80 characters, whatever it is."""
    try:
        text = repr(value)
    except ValueError:  # Python writes out no whole number of more than 4300 digits
        return f"a number of {value.bit_length()} bits" if is_whole(value) else type(value).__name__
    return text if len(text) <= 80 else f"{text[:77]}..."
