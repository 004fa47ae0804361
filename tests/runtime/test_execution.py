"""What a platform and a mesh make of an execution."""

import jax
import pytest
from jax.sharding import AxisType

from bark_jax.formulations.cpu import Cpu
from bark_jax.formulations.cpu_kernels import CpuKernels
from bark_jax.formulations.reference import Reference
from bark_jax.formulations.tpu import Tpu
from bark_jax.kernels.native import has_sequences
from bark_jax.runtime.execution import DTypes, Execution
from bark_jax.runtime.platforms import GPU, PLATFORMS, platform_of


@pytest.mark.parametrize(
    "platform, dtype, formulation",
    [
        ("cpu", "float32", CpuKernels(has_int8_sequences=has_sequences())),
        ("gpu", "bfloat16", Reference()),
        ("tpu", "bfloat16", Tpu()),
    ],
)
def test_each_platform_has_its_choices(platform, dtype, formulation):
    execution = Execution.on(platform)
    assert execution.platform is PLATFORMS[platform]
    assert execution.dtypes == DTypes.all(dtype)
    assert execution.formulation == formulation
    assert hash(execution) == hash(Execution.on(platform))


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"platform='metal' is not one of \('cpu', 'gpu', 'tpu'"):
        Execution.on("metal")
    with pytest.raises(ValueError, match="dtype params='float16' is not one of"):
        Execution.on("cpu", "float16")


def test_a_device_that_nobody_has_measured_runs_plainly(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "metal")
    execution = Execution.here()
    assert execution.formulation == Reference()
    assert (execution.platform.name, execution.dtypes) == ("metal", DTypes())
    assert platform_of("cuda") is platform_of("rocm") is GPU


@pytest.mark.parametrize("n_model, parts", [(1, 8), (2, 1)])
def test_a_weight_that_devices_share_stays_whole(n_model, parts):
    """In parts it would be gathered on every device, in every step."""
    shape, axes = (2 // n_model, n_model), ("data", "model")
    mesh = jax.make_mesh(shape, axes, axis_types=(AxisType.Auto,) * 2)
    assert Execution.here(mesh=mesh).formulation == Cpu(single_row_parts=parts)


def test_a_mesh_decides_not_the_default_device(monkeypatch):
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assert Execution.here(mesh=mesh).platform.name == "cpu"


def test_training_keeps_parameters_in_float32():
    execution = Execution.on("tpu").for_training()
    assert execution.dtypes == DTypes(compute="bfloat16")
    assert execution.formulation == Tpu()
