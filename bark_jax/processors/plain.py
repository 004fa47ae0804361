"""Processors as plain data, for batch files, configs and what is recorded, and back.

>>> plain_of(MinP(0.05))
{'MinP': {'p': 0.05}}

Those of this package go by their class's name, all others by `module:Class`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from bark_jax import processors
from bark_jax.numbers import plain
from bark_jax.runtime import named

OWN = {name: getattr(processors, name) for name in processors.__all__ if name != "DrawContext"}


def processor_of(value: Any) -> Any:
    """A processor from plain data: `{"MinP": 0.05}`, `{"MinP": {"p": 0.05}}` or `"module:Class"`.

    One that is given as such stays as it is.

    Raises:
      ValueError: an unknown class, or one that is not a processor; wrong arguments.
    """
    name, arguments = None, {}
    if isinstance(value, str):
        name = value
    elif isinstance(value, Mapping) and len(value) == 1:
        ((name, arguments),) = value.items()
    if name is None:
        return _checked(value)
    make = _class_of(name)
    try:
        return _checked(make(**arguments) if isinstance(arguments, Mapping) else make(arguments))
    except TypeError as error:
        raise ValueError(f"processor {name!r}: {error}") from error


def plain_of(processor: Any) -> dict[str, Any]:
    """Plain data from which `processor_of` makes the same processor."""
    make = type(processor)
    name = make.__name__ if make in OWN.values() else f"{make.__module__}:{make.__qualname__}"
    fields = {f.name: plain(getattr(processor, f.name)) for f in dataclasses.fields(processor)}
    return {name: {n: list(v) if isinstance(v, tuple) else v for n, v in fields.items()}}


def _class_of(name: Any) -> Any:
    name, want = str(name), "'module:Class' of a flax.struct.dataclass that can be called"
    found = named.find("processor", name, want) if ":" in name else OWN.get(name)
    # Checked before it is made: a batch file must not call whatever can be imported.
    is_callable = isinstance(found, type) and "__call__" in dir(found)
    if not (is_callable and dataclasses.is_dataclass(found)):
        raise ValueError(
            f"processor {name!r} is not known; want one of {', '.join(OWN)}, or {want}"
        )
    return found


def _checked(value: Any) -> Any:
    is_tree = not isinstance(value, type) and jax.tree.structure(value) != jax.tree.structure(0)
    if not (is_tree and dataclasses.is_dataclass(value) and callable(value)):
        raise ValueError(
            f"{value!r} is not a processor: want an instance of a flax.struct.dataclass with "
            "__call__(self, logits_BV, context)"
        )
    return value
