"""Strict numerics for every test: no silent rank promotion, full-precision matrix products."""

import os

os.environ["XLA_FLAGS"] = (
    f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
)
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["HF_HUB_OFFLINE"] = "1"  # no test reaches a network; the hub tests set their own

import jax
import pytest

jax.config.update("jax_default_matmul_precision", "float32")


@pytest.fixture(scope="session")
def suno_folder(tmp_path_factory):
    """Tiny random checkpoints in Suno's file formats; see parity/reference.py."""
    pytest.importorskip("bark")
    from tests.parity.reference import make_checkpoints

    return make_checkpoints(tmp_path_factory.mktemp("suno"))


@pytest.fixture(scope="session")
def reference(suno_folder):
    """The original Bark on the checkpoints of `suno_folder`."""
    from tests.parity.reference import Reference

    return Reference.load(suno_folder)
