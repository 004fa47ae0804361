"""Edits of what a place holds, and where in a row they do so."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.config import BarkConfig
from bark_jax.hooks.names import WEIGHTS, Axes, axes_of, expand
from bark_jax.numbers import is_whole, shown

END = 2**31 - 1  # of steps without an end
NEVER = -(2**30)  # the step of a position that no edit is for

RowEdits = Mapping[str, tuple[Any, ...]]  # full name -> edits in their order


@dataclasses.dataclass(frozen=True)
class Place:
    """Where an edit's values lie.

    The step of a position is the number of the draw that is made from it, counted over the whole
    row; in the fine stage it is the frame. Positions of a prompt have negative ones.
    """

    step_BT: jax.Array  # int32
    codebook: jax.Array | int = 0  # int32 []: that the fine stage predicts


@flax.struct.dataclass
class _WithValue:
    """An edit by a value at some steps; see `Add`."""

    value: Any
    steps: Any = None

    def change(self, x: jax.Array, value: jax.Array) -> jax.Array:
        """What the place holds where the edit is on."""
        raise NotImplementedError

    def __call__(self, x: jax.Array, place: Place) -> jax.Array:
        value, is_on = _at(self, x, place)
        return jnp.where(is_on, self.change(x, value), x)


@flax.struct.dataclass
class Add(_WithValue):
    """Adds `value` to what the place holds.

    Attributes:
      value: numbers that broadcast to the place's own axes, such as (width,); with an axis of
        steps before them, one value for each of `steps`; in the fine stage an axis of all codebooks
        may come before that.
      steps: a draw's number, a `range` of them, or None: all draws, or those from 0 on that `value`
        has steps for.
    """

    def change(self, x: jax.Array, value: jax.Array) -> jax.Array:
        return x + value


@flax.struct.dataclass
class Scale(_WithValue):
    """Multiplies what the place holds, with values and steps as in `Add`; `Scale(0)` empties it."""

    def change(self, x: jax.Array, value: jax.Array) -> jax.Array:
        return x * value


@flax.struct.dataclass
class Replace(_WithValue):
    """Puts `value` in place of what the place holds, with values and steps as in `Add`."""

    def change(self, x: jax.Array, value: jax.Array) -> jax.Array:
        return value


@flax.struct.dataclass
class Apply:
    """A user's function (x, place) -> x."""

    function: Callable[..., Any] = flax.struct.field(pytree_node=False)

    def __call__(self, x: jax.Array, place: Place) -> jax.Array:
        return self.function(x, place)


def _at(edit: Any, x: jax.Array, place: Place) -> tuple[jax.Array, jax.Array]:
    """The values for x (B, T, …) of an edit from `stack`, and whether it is for a position."""

    def wide(z: jax.Array) -> jax.Array:
        return jnp.expand_dims(z, tuple(range(z.ndim, x.ndim)))

    values, (first_B, end_B) = edit.value, edit.steps.T  # values (B, codebooks, steps, …)
    at_codebook = jnp.minimum(place.codebook, values.shape[1] - 1)
    values = jax.lax.dynamic_index_in_dim(values, at_codebook, 1, keepdims=False)
    index_BT = jnp.clip(place.step_BT - first_B[:, None], 0, values.shape[1] - 1)
    is_on_BT = (first_B[:, None] <= place.step_BT) & (place.step_BT < end_B[:, None])
    return jnp.take_along_axis(values, wide(index_BT), axis=1), wide(is_on_BT)


def stack(edits: Sequence[Any]) -> Any:
    """One edit whose fields hold those of all, in order: a row's each."""
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(edits[0]):
        if not field.metadata.get("pytree_node", True):
            continue
        arrays = [np.asarray(getattr(edit, field.name)) for edit in edits]
        if isinstance(edits[0], _WithValue) and field.name == "value":
            arrays = _same_steps(arrays)
        if len(shapes := {array.shape for array in arrays}) > 1:
            raise ValueError(
                f"edits: values of {field.name!r} of {type(edits[0]).__name__} want one shape in "
                f"all rows, got {sorted(shapes)}"
            )
        stacked = np.stack(arrays)
        kinds = {"f": np.float32, "i": np.int32, "u": np.int32, "b": np.bool_}
        changed[field.name] = stacked.astype(kinds.get(stacked.dtype.kind, stacked.dtype))
    return dataclasses.replace(edits[0], **changed)


def _same_steps(values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Values (codebooks, steps, …) of equal counts: the last step's is repeated."""
    codebooks, longest = (max(value.shape[axis] for value in values) for axis in (0, 1))
    return [
        np.pad(
            np.broadcast_to(value, (codebooks, *value.shape[1:])),
            [(0, 0), (0, longest - value.shape[1])] + [(0, 0)] * (value.ndim - 2),
            mode="edge",
        )
        for value in values
    ]


def rows_of_edits(edits: Any, config: BarkConfig) -> RowEdits | list[RowEdits]:
    """Edits as a user gives them, checked: of all rows, or a list with one mapping per row.

    Raises:
      ValueError: no mapping, a name of no place, or values that do not fit it; names the edit.
    """
    if isinstance(edits, list | tuple):
        return [_row_of_edits(row, config) for row in edits]
    return _row_of_edits(edits, config)


def _row_of_edits(edits: Any, config: BarkConfig) -> RowEdits:
    if edits is None:
        return {}
    if not isinstance(edits, Mapping):
        raise ValueError(
            f"edits={shown(edits)} is not allowed; want a dict of names and edits, or one per row"
        )
    known, made = axes_of(config), {}
    for pattern, given in edits.items():
        for name in expand("edits", pattern, known):
            if name.endswith(WEIGHTS):
                raise ValueError(f"edits: {name} can be traced, but not changed; attn.q, .k can")
            chain = given if isinstance(given, list | tuple) else [given]
            checked = tuple(_checked(name, edit, known[name], config) for edit in chain)
            made[name] = made.get(name, ()) + checked
    return made


def _checked(name: str, edit: Any, axes: Axes, config: BarkConfig) -> Any:
    """An edit for one place, its values with all axes, and its steps as first and end."""
    if not isinstance(edit, _WithValue):
        is_tree = not isinstance(edit, type) and jax.tree.structure(edit) != jax.tree.structure(0)
        if dataclasses.is_dataclass(edit) and is_tree and callable(edit):
            return edit
        if callable(edit) and not isinstance(edit, type):
            return Apply(edit)
        raise ValueError(
            f"edits: {name} wants Add, Replace, Scale, a function (x, place) -> x or an instance "
            f"of a flax.struct.dataclass with __call__(self, x, place), got {shown(edit)}"
        )
    what = f"edits: {type(edit).__name__} of {name}"
    value, n_steps = _full(what, edit.value, axes, config)
    first, end = _steps(what, edit.steps, n_steps)
    return type(edit)(value, np.array([first, end], np.int32))


def _full(what: str, value: Any, axes: Axes, config: BarkConfig) -> tuple[np.ndarray, int | None]:
    """The value (codebooks, steps, …), and its number of steps, None where it has no such axis.

    Their number is filled up to a power of two, so that few of them compile.
    """
    own = tuple(size for size in axes if isinstance(size, int))
    n_codebooks = config.tokens.n_fine_codebooks
    try:
        array = np.asarray(value, np.float32)
        lead = array.shape[: max(0, array.ndim - len(own))]
        full = np.broadcast_to(array, (*lead, *own))
    except (TypeError, ValueError):
        lead, full, array = (-1,), np.zeros(0), np.zeros(np.shape(value))
    most = len(axes) - len(own)
    if len(lead) > most or 0 in lead or -1 in lead or (len(lead) == 2 and lead[0] != n_codebooks):
        raise ValueError(
            f"{what} has a value of shape {array.shape}; want numbers of shape {own}, with or "
            f"without the axes {axes[:most]} before it"
        )
    n_steps = lead[-1] if lead else None
    full = full.reshape((1,) * (2 - len(lead)) + full.shape)
    used = full[config.tokens.n_coarse_codebooks :] if len(lead) == 2 else full
    if not np.isfinite(used).all():
        raise ValueError(f"{what} has a value that is not finite (NaN or infinity)")
    filled = 1 << (full.shape[1] - 1).bit_length()
    widths = [(0, 0), (0, filled - full.shape[1])] + [(0, 0)] * len(own)
    return np.pad(full, widths, mode="edge"), n_steps


def _steps(what: str, steps: Any, n_steps: int | None) -> tuple[int, int]:
    """First step and end."""
    if steps is None:
        return 0, END if n_steps is None else n_steps
    if is_whole(steps):
        steps = range(int(steps), int(steps) + 1)
    if not isinstance(steps, range) or steps.step != 1 or not len(steps):
        raise ValueError(f"{what} has steps={steps!r}; want a whole number, a range or None")
    if not NEVER < steps.start <= steps.stop <= END:
        raise ValueError(f"{what} has steps={steps!r}; want them in {NEVER + 1} … {END}")
    if n_steps not in (None, len(steps)):
        raise ValueError(f"{what} has {n_steps} values for steps={steps!r}")
    return steps.start, steps.stop
