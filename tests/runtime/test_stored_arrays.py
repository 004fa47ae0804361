"""What Orbax writes is read without it, equal bit by bit to what Orbax reads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from orbax.checkpoint import v1 as ocp

from bark_jax.params import flatten
from bark_jax.runtime.stored_arrays import open_arrays, read_arrays

HERE = jax.sharding.SingleDeviceSharding(jax.devices()[0])
ARRAYS = {
    "wte": {"weight": np.linspace(-2, 2, 24, dtype=np.float32).reshape(4, 6)},
    "h": {
        "0": {"half": (np.arange(5) / 3).astype(jnp.bfloat16), "int8": np.arange(-3, 3, dtype="i1")}
    },
    "zeros": np.zeros((2, 3), np.float32),
    "step": np.array(7, np.int32),
}


@pytest.fixture(scope="module", params=["zarr3", "zarr", "compressed"])
def written(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("written") / "coarse"
    context = ocp.Context()
    context.array_options.saving.use_zarr3 = request.param != "zarr"
    context.array_options.saving.use_compression = request.param == "compressed"
    with context:
        ocp.save(str(directory), ARRAYS)
    return directory


def test_arrays_are_those_that_orbax_reads(written):
    got = read_arrays(open_arrays(written), lambda name, stored: stored, lambda name: HERE)
    want = flatten(ocp.load(str(written)))
    assert got.keys() == want.keys() and len(want) == 5
    for name, array in want.items():
        assert (got[name].dtype, got[name].shape) == (array.dtype, array.shape)
        assert got[name].sharding == HERE
        np.testing.assert_array_equal(np.asarray(got[name]), np.asarray(array))


def test_casts_round_as_jax_does(written):
    wanted = {"wte.weight": jnp.bfloat16, "h.0.half": jnp.float32}
    read = read_arrays(open_arrays(written), lambda name, d: wanted.get(name, d), lambda name: HERE)
    for name, dtype in wanted.items():
        array = flatten(ARRAYS)[name]
        np.testing.assert_array_equal(read[name], jnp.asarray(array).astype(dtype))


def test_a_device_gets_its_part(written):
    mesh = jax.make_mesh((2,), ("model",))
    split = NamedSharding(mesh, PartitionSpec(None, "model"))
    whole = NamedSharding(mesh, PartitionSpec())
    read = read_arrays(
        open_arrays(written),
        lambda name, stored: stored,
        lambda name: split if name == "wte.weight" else whole,
    )
    assert read["wte.weight"].sharding == split and read["step"].sharding == whole
    assert {part.data.shape for part in read["wte.weight"].addressable_shards} == {(4, 3)}
    np.testing.assert_array_equal(read["wte.weight"], ARRAYS["wte"]["weight"])


def test_another_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(ValueError, match="0 files _METADATA in its folders, want 1"):
        open_arrays(tmp_path)
