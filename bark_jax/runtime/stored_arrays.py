"""Reads the arrays of an Orbax checkpoint through TensorStore, which Orbax itself reads with.

Orbax writes models, but to read one only the format of its arrays matters: Zarr, in one OCDBT store
with a list of names beside it. Importing Orbax takes longer than reading a small model so.
"""

import gc
import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tensorstore

from bark_jax.runtime.files import read_json

NAMES_FILE = "_METADATA"
READS_AT_ONCE = 4  # what has been read waits on the host until the device has it
LARGE = 64 << 20  # bytes of an array that is read alone: reading takes up to twice its memory


def open_arrays(directory: Path) -> dict[str, Any]:
    """The arrays of a checkpoint by dotted name, as TensorStores: opened, not read.

    Raises:
      ValueError: it is damaged, or no checkpoint of Orbax.
    """
    found = list(directory.glob(f"*/{NAMES_FILE}"))  # Orbax has changed the folder's name before
    if len(found) != 1:
        raise ValueError(f"{len(found)} files {NAMES_FILE} in its folders, want 1")
    about = read_json(found[0])
    names = [
        ".".join(part["key"] for part in leaf["key_metadata"])
        for leaf in about["tree_metadata"].values()
    ]
    store = {"driver": "ocdbt", "base": found[0].parent.as_uri() + "/"}
    driver = "zarr3" if about.get("use_zarr3") else "zarr"
    context = tensorstore.Context()  # one for all, so that the store's index is read once
    opening = {
        name: tensorstore.open(
            {"driver": driver, "kvstore": {**store, "path": f"{name}/"}},
            open=True,
            read=True,
            context=context,
        )
        for name in names
    }
    return {name: array.result() for name, array in opening.items()}


def read_arrays(
    arrays: Mapping[str, Any],
    dtype_of: Callable[[str, np.dtype], Any],
    sharding_of: Callable[[str], jax.sharding.Sharding] | None = None,
    change: Callable[[str, Any], Mapping[str, Any]] | None = None,
) -> dict[str, jax.Array]:
    """Arrays from `open_arrays` on their devices; each process reads what its devices hold.

    Args:
      dtype_of: what an array, by name and stored dtype, is cast to.
      sharding_of: of the array with a name; None: all on the first device.
      change: gives what is kept, by names, in place of an array that has been read. That is on its
        devices already, or without `sharding_of` on the host.
    """
    device = jax.local_devices()[0]

    def read(name: str) -> Mapping[str, jax.Array]:
        array = arrays[name]
        array = tensorstore.cast(array, dtype_of(name, array.dtype.numpy_dtype))
        if sharding_of is None:
            made = array.read().result()
        else:
            made = jax.make_array_from_callback(
                array.shape, sharding_of(name), lambda part: array[part].read().result()
            )
        made = {name: made} if change is None else change(name, made)
        if sharding_of is None:
            made = jax.device_put(made, device)
        gc.collect(0)  # or JAX holds on to what it has copied
        return made

    def is_large(name: str) -> bool:
        return arrays[name].size * arrays[name].dtype.numpy_dtype.itemsize > LARGE

    kept: dict[str, jax.Array] = {}
    for name in filter(is_large, arrays):  # first, while little else is in memory
        kept |= read(name)
    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        for made in pool.map(read, itertools.filterfalse(is_large, arrays)):
            kept |= made
    return kept
