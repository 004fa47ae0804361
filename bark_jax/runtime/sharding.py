"""One model over many devices: rows of a batch over the mesh axis `data`, weights over `model`.

The models know almost nothing of this: a table says where each parameter goes, each stage says
once that its prompts are split by rows, and the compiler derives the rest.
"""

import re
from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

# What each axis of a mesh splits.
DATA = "data"  # the rows of a batch
MODEL = "model"  # the weights of a model that generates: each device has a part of every product
FSDP = "fsdp"  # the state of a training run, gathered where it is needed; rows as well

# The first pattern that matches the parameter's dotted name decides; all others are replicated.
# Products that widen are split by output, products that narrow by input: one sum across devices
# after each half of a block. Tables of ids are never split by id: vocabularies are odd numbers, and
# the coarse stage scores a slice of them.
RULES = (
    (r".*\.(c_attn|c_fc)\.weight", PartitionSpec(MODEL, None)),
    (r".*\.(c_attn|c_fc)\.bias", PartitionSpec(MODEL)),
    (r".*\.c_proj\.weight|lm_head\.weight|wtes?(\.\d+)?\.weight", PartitionSpec(None, MODEL)),
)


def checked_mesh(mesh: Mesh) -> Mesh:
    """The mesh with all axes of type Auto: the compiler decides how to use them.

    Raises:
      ValueError: the mesh has other axes than `data` and `model`.
    """
    if unknown := set(mesh.axis_names) - {DATA, MODEL}:
        raise ValueError(
            f"mesh has axes {sorted(unknown)}; want {DATA!r} (rows) and {MODEL!r} (weights)"
        )
    return Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * mesh.devices.ndim)


def sharding_of(mesh: Mesh, name: str) -> NamedSharding:
    """The sharding of the parameter with this dotted name."""
    if MODEL in mesh.axis_names:
        for pattern, spec in RULES:
            if re.fullmatch(pattern, name):
                return NamedSharding(mesh, spec)
    return NamedSharding(mesh, PartitionSpec())


def row_multiple() -> int:
    """Number of devices that the mesh in use splits the rows of a batch over; 1 without one."""
    return dict(jax.sharding.get_abstract_mesh().shape).get(DATA, 1)


def groups_per_call(rows: Sequence[int], parallel_rows: int) -> list[list[int]]:
    """Splits rows into groups, each for one call of the fine model or of the codec.

    The size of a group is a power of two, so that few batch sizes compile: a smaller group is
    filled up with its first row.

    Args:
      parallel_rows: of a call on one device; every device of a mesh gets at least one.
    """
    most = max(parallel_rows, row_multiple())
    groups = [list(rows[i : i + most]) for i in range(0, len(rows), most)]
    for group in groups:
        group += group[:1] * (2 ** (len(group) - 1).bit_length() - len(group))
    return groups


def split_rows(x: jax.Array) -> jax.Array:
    """Splits the first axis over `data`, inside `jax.jit`.

    Without a mesh, or where the rows do not divide evenly, every device has all rows.
    """
    if row_multiple() == 1 or x.shape[0] % row_multiple():
        return x
    return jax.lax.with_sharding_constraint(x, PartitionSpec(DATA))


def fetch(x: jax.Array | np.ndarray) -> np.ndarray:
    """The whole array on the host, on every process."""
    if isinstance(x, np.ndarray) or x.is_fully_addressable:
        return np.asarray(x)
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(x, tiled=True))
