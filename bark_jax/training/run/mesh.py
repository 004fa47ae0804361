"""Training over many devices: rows over the mesh axes `data` and `fsdp`, state over `fsdp`.

Parameters, optimiser state and averages are sharded over `fsdp` and gathered where they are needed;
the compiler derives that, and the sum of gradients, from the arrays' shardings.
"""

import dataclasses
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from bark_jax.runtime.sharding import DATA, FSDP

ROWS = PartitionSpec(None, None, (DATA, FSDP))  # of a batch: steps of the call, micro-batches, rows
MIN_SPLIT = 2**12  # values; smaller arrays are replicated


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeshSettings:
    """Devices along each axis; -1: all that the other axis leaves."""

    data: int = -1
    fsdp: int = 1


def make_mesh(settings: MeshSettings, rows: int) -> Mesh:
    """A mesh of all devices of all processes.

    Args:
      rows: of one micro-batch, a multiple of the number of devices.
    Raises:
      ValueError: data × fsdp is not the number of devices, or that does not divide the rows.
    """
    n, data, fsdp = jax.device_count(), settings.data, settings.fsdp
    if data == -1 and fsdp > 0:
        data = n // fsdp
    elif fsdp == -1 and data > 0:
        fsdp = n // data
    if data * fsdp != n or data < 1:
        raise ValueError(
            f"mesh.data={settings.data}, mesh.fsdp={settings.fsdp} do not make up {n} devices"
        )
    if rows % n:
        raise ValueError(
            f"batch_size / accumulate = {rows} rows cannot be dealt out evenly to {n} devices"
        )
    devices = np.array(jax.devices()).reshape(data, fsdp)
    return Mesh(devices, (DATA, FSDP), axis_types=(AxisType.Auto,) * 2)


def state_sharding(mesh: Mesh, tree: Any) -> Any:
    """The sharding of each array of a state: its longest axis that `fsdp` divides is split."""

    def of(leaf: Any) -> NamedSharding:
        n = mesh.shape[FSDP]
        spec: list[str | None] = [None] * leaf.ndim
        fitting = [axis for axis in range(leaf.ndim) if leaf.shape[axis] % n == 0]
        if n > 1 and fitting and leaf.size >= MIN_SPLIT:
            spec[max(fitting, key=lambda axis: leaf.shape[axis])] = FSDP
        return NamedSharding(mesh, PartitionSpec(*spec))

    return jax.tree.map(of, tree)


def place_state(mesh: Mesh, tree: Any) -> Any:
    """The arrays of a state (the same on every process), laid out over the mesh."""

    def put(leaf: Any, sharding: NamedSharding) -> jax.Array:
        whole = np.asarray(leaf)
        return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])

    return jax.tree.map(put, tree, state_sharding(mesh, tree))


def place_batch(mesh: Mesh, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
    """Arrays (steps, micro-batches, own rows, …) as global ones, rows dealt out."""
    sharding = NamedSharding(mesh, ROWS)
    return {
        name: jax.make_array_from_process_local_data(sharding, array)
        for name, array in batch.items()
    }


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def on_every_process(tree: Any) -> Any:
    """The whole arrays on this process's first device."""

    def gather(leaf: jax.Array) -> jax.Array:
        sharding = leaf.sharding
        if isinstance(sharding, NamedSharding) and not leaf.is_fully_addressable:
            whole = NamedSharding(sharding.mesh, PartitionSpec())
            leaf = jax.jit(lambda x: x, out_shardings=whole)(leaf)
            return jax.numpy.asarray(leaf.addressable_data(0))
        return jax.device_put(leaf, jax.local_devices()[0])

    return jax.tree.map(gather, tree)


def wait_for_all(what: str) -> None:
    """Returns once every process has reached this point."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(what)
