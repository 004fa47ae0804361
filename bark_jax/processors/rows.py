"""The processors of a batch: rows that have different ones share a program."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.processors.context import NO_ID, DrawContext

LEAST_LENGTH = 8  # of a list of ids; longer ones are filled up to a power of two


@flax.struct.dataclass
class Step:
    """One processor of the batch, for the rows that have it."""

    processor: Any  # every field an array with one entry per row
    is_on_B: jax.Array

    def __call__(self, values_B: jax.Array, context: Any) -> jax.Array:
        """Of logits (B, V), or of values with any axes after that of the rows."""
        is_on_B = jnp.expand_dims(self.is_on_B, tuple(range(1, values_B.ndim)))
        return jnp.where(is_on_B, self.processor(values_B, context), values_B)


def apply_steps(
    logits_BV: jax.Array, steps: Sequence[Step], context: Callable[[], DrawContext]
) -> jax.Array:
    """The logits after all steps; `context` is only made if there are any."""
    if steps:
        made = context()
        for step in steps:
            logits_BV = step(logits_BV, made)
    return logits_BV


def steps_of(
    rows: Sequence[Sequence[Any]], stack: Callable[[Sequence[Any]], Any] | None = None
) -> tuple[Step, ...]:
    """The processors of all rows, merged so that each row keeps the order of its own.

    Args:
      stack: makes one processor whose fields hold those of all, in order; None is for processors
        of logits.
    Raises:
      ValueError: values of a processor that have no common shape; names it.
    """
    kinds: list[Any] = []
    owners: list[dict[int, Any]] = []  # of each step: row -> processor
    for row, processors in enumerate(rows):
        at = 0
        for processor in processors:
            kind = _kind(processor)
            while at < len(kinds) and kinds[at] != kind:
                at += 1
            if at == len(kinds):
                kinds.append(kind)
                owners.append({})
            owners[at][row] = processor
            at += 1
    return tuple(_step(owned, len(rows), stack or _stacked) for owned in owners)


def _is_traced(field: dataclasses.Field[Any]) -> bool:
    return field.metadata.get("pytree_node", True)


def _kind(processor: Any) -> Any:
    """Equal for processors that differ in traced values alone."""
    fields = dataclasses.fields(processor)
    return type(processor), [getattr(processor, f.name) for f in fields if not _is_traced(f)]


def _step(owned: dict[int, Any], n_rows: int, stack: Callable[[Sequence[Any]], Any]) -> Step:
    filler = next(iter(owned.values()))  # its values do not matter where it is off
    stacked = stack([owned.get(row, filler) for row in range(n_rows)])
    return Step(stacked, np.array([row in owned for row in range(n_rows)]))  # pyright: ignore


def _stacked(processors: Sequence[Any]) -> Any:
    """One processor whose fields hold those of all, in order."""
    changed = {
        field.name: _column(field, [getattr(processor, field.name) for processor in processors])
        for field in dataclasses.fields(processors[0])
        if _is_traced(field)
    }
    return dataclasses.replace(processors[0], **changed)


def _column(field: dataclasses.Field[Any], values: Sequence[Any]) -> np.ndarray:
    arrays = [np.asarray(value) for value in values]
    dtype = _dtype(field, arrays)
    if all(array.ndim for array in arrays):
        longest = max(array.shape[-1] for array in arrays)
        length = max(LEAST_LENGTH, 1 << (longest - 1).bit_length() if longest else 0)
        fill = NO_ID if dtype == np.int32 else 0
        arrays = [_filled_up(array, length, fill) for array in arrays]
    try:
        return np.stack(arrays).astype(dtype)
    except (TypeError, ValueError) as error:
        shapes = sorted({array.shape for array in arrays})
        raise ValueError(
            f"values of {field.name!r} of a processor want numbers of one shape in all rows, got "
            f"shapes {shapes} of {arrays[0].dtype}"
        ) from error


def _dtype(field: dataclasses.Field[Any], arrays: Sequence[np.ndarray]) -> type[Any]:
    """As the field is annotated, so that 1 and 1.0 share a program; else as its values are."""
    for word, dtype in (("bool", np.bool_), ("float", np.float32), ("int", np.int32)):
        if re.search(rf"\b{word}\b", str(field.type)):
            return dtype
    kinds = {array.dtype.kind for array in arrays}
    return np.bool_ if kinds == {"b"} else np.float32 if "f" in kinds else np.int32


def _filled_up(array: np.ndarray, length: int, fill: int) -> np.ndarray:
    widths = [(0, 0)] * (array.ndim - 1) + [(0, length - array.shape[-1])]
    return np.pad(array, widths, constant_values=fill)
