"""What the fields of a config may hold, said by their annotations and checked in one place."""

import dataclasses
import functools
import typing
from collections.abc import Iterator
from fractions import Fraction
from typing import Annotated, Any

from bark_jax.numbers import is_whole, shown


@dataclasses.dataclass(frozen=True)
class Between:
    """A number in low … high, both included."""

    low: int
    high: int = 2**31 - 1  # ids and positions are int32

    def __contains__(self, value: Any) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low} … {self.high}"


Size = Annotated[int, Between(1)]
Id = Annotated[int, Between(0)]
Few = Annotated[int, Between(1, 1024)]  # of what becomes a module or a loop
Rate = Annotated[Fraction, Between(0, 10**6)]  # [Hz]


def check_fields(config: Any) -> None:
    """Checks every field of a dataclass that is annotated with a number, a tuple, bool or config.

    Raises:
      ValueError: names all fields that do not fit, what they hold and what is allowed.
    """
    if problems := list(_problems(config)):
        raise ValueError("; ".join(problems))


def _problems(config: Any) -> Iterator[str]:
    for name, hint in _hints(type(config)).items():
        value = getattr(config, name)
        if not _fits(hint, value):
            yield f"{name}={shown(value)}, want {_in_words(hint)}"


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


def _fits(hint: Any, value: Any) -> bool:
    kind, *rest = typing.get_args(hint) or (hint,)
    if typing.get_origin(hint) is tuple:
        return isinstance(value, tuple) and bool(value) and all(_fits(kind, v) for v in value)
    if kind is Fraction:
        return isinstance(value, Fraction) and value > 0 and value in rest[0]
    if kind is int:
        return is_whole(value) and value in rest[0]
    return isinstance(value, kind)


def _in_words(hint: Any) -> str:
    kind, *rest = typing.get_args(hint) or (hint,)
    if typing.get_origin(hint) is tuple:
        return f"a list whose entries are each {_in_words(kind)}"
    if kind is Fraction:
        return f"a number above {rest[0].low}, at most {rest[0].high}"
    if kind is int:
        return f"a whole number in {rest[0]}"
    return "true or false" if kind is bool else f"the fields of {kind.__name__}"
