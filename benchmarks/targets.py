"""Descriptions of accelerators to compile for, which this machine need not have."""

import dataclasses
import importlib.util
import os
from unittest import mock

import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

# Without these libtpu looks for the TPU machine that it runs on, and refuses a second process.
_NO_TPU_HERE = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_STDERR_LOG_LEVEL": "3",
}
# After openxla/xla, xla/backends/gpu/target_config/specs/h100_sxm.txtpb.
_HOPPER = """
gpu_device_info {{
  threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152
  shared_memory_per_core: 233472 threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: {bandwidth} l2_cache_size: 52428800 clock_rate_ghz: 1.98
  device_memory_size: {memory} shared_memory_per_block_optin: 232448
  cuda_compute_capability {{ major: 9 }}
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  driver_version: "13.0.0" runtime_version: "12.9.0" compile_time_toolkit_version: "12.9.0"
}}
platform_name: "CUDA" dnn_version_info {{ major: 9 minor: 10 }} device_description_str: "{name}"
"""


@dataclasses.dataclass(frozen=True)
class Target:
    """One device of an accelerator."""

    platform: str  # key of `platforms.PLATFORMS`
    lowers_to: str  # JAX's name of the platform
    package: str  # the import that has the compiler
    memory_bytes: int
    description: dict[str, str]  # for `topologies.get_topology_desc`

    def check_installed(self) -> None:
        """Raises ModuleNotFoundError if the compiler for this target is missing."""
        if importlib.util.find_spec(self.package) is None:
            raise ModuleNotFoundError(
                f"{self.package} is not installed; see docs/performance-log.md"
            )

    def sharding(self) -> NamedSharding:
        """Arrays that lie on this device."""
        self.check_installed()
        with mock.patch.dict(os.environ, {**_NO_TPU_HERE, **os.environ}):
            devices = topologies.get_topology_desc(**self.description).devices
        return NamedSharding(Mesh(np.array(devices[:1]), ("device",)), PartitionSpec())


def _tpu(name: str, gib: int) -> Target:
    # a single chip is not a valid topology everywhere
    description = {"platform": "tpu", "topology_name": f"{name}:2x2"}
    return Target("tpu", "tpu", "libtpu", gib * 2**30, description)


def _gpu(name: str, memory_bytes: int, bandwidth: int) -> Target:
    config = _HOPPER.format(name=name, memory=memory_bytes, bandwidth=bandwidth)
    description = {"platform": "cuda", "topology": "1x1x1", "target_config": config}
    return Target("gpu", "cuda", "jax_cuda12_plugin", memory_bytes, description)


TARGETS = {
    "v5e": _tpu("v5e", 16),
    "v6e": _tpu("v6e", 32),
    "h100": _gpu("NVIDIA H100 80GB HBM3", 84_929_347_584, 3_352_320_000_000),
    "h200": _gpu("NVIDIA H200", 151_397_597_184, 4_800_000_000_000),
}
