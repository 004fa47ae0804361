"""How state and rows are laid out over devices."""

import jax.numpy as jnp
import pytest

from bark_jax.training.run.mesh import MeshSettings, make_mesh, state_sharding


def test_state_is_split_and_rows_are_dealt_out():
    mesh = make_mesh(MeshSettings(data=1, fsdp=-1), rows=4)  # two forced host devices
    sharding = state_sharding(mesh, {"w": jnp.zeros((64, 96)), "b": jnp.zeros(6)})
    assert tuple(sharding["w"].spec) == (None, "fsdp")
    assert tuple(sharding["b"].spec) == (None,)
    with pytest.raises(ValueError, match="= 3 rows cannot be dealt out evenly to 2 devices"):
        make_mesh(MeshSettings(), rows=3)
    with pytest.raises(ValueError, match="do not make up 2 devices"):
        make_mesh(MeshSettings(data=3), rows=6)
