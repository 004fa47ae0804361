"""How a model computes: number formats, platform and formulation, chosen once and passed on.

A frozen value that is static under `jax.jit`, so that programs for different choices never mix.
"""

import dataclasses
from typing import Any

import jax
from jax.sharding import Mesh

from bark_jax.config import DTYPES, WEIGHTS
from bark_jax.formulations.cpu import Cpu
from bark_jax.formulations.cpu_kernels import CpuKernels
from bark_jax.formulations.interface import Formulation, LayerCache
from bark_jax.formulations.reference import Reference
from bark_jax.formulations.tpu import Tpu
from bark_jax.kernels.native import has_sequences, why_missing
from bark_jax.runtime.platforms import PLATFORMS, Platform, platform_of
from bark_jax.runtime.sharding import MODEL


@dataclasses.dataclass(frozen=True, kw_only=True)
class DTypes:
    """Number formats of one model, "float32" or "bfloat16" each.

    Attributes:
      params: of parameters at rest.
      weights: of the matrices of the transformers at rest, "int8" as well; None: as `params`.
      compute: of the inputs of matrix products; results are float32.
      cache: of keys and values.
    """

    params: str = "float32"
    compute: str = "float32"
    cache: str = "float32"
    weights: str | None = None

    @classmethod
    def all(cls, dtype: str) -> "DTypes":
        """One format for everything."""
        return cls(params=dtype, compute=dtype, cache=dtype)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            allowed = (None, *WEIGHTS) if field.name == "weights" else DTYPES
            if value not in allowed:
                raise ValueError(f"dtype {field.name}={value!r} is not one of {allowed}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Execution:
    """How a model computes. The methods are its formulation's, in its number formats."""

    dtypes: DTypes
    platform: Platform
    formulation: Formulation

    @classmethod
    def on(cls, platform: str, dtype: "str | DTypes | None" = None) -> "Execution":
        """The measured choices for a platform.

        Args:
          platform: "cpu", "gpu" or "tpu".
          dtype: "float32", "bfloat16" or a `DTypes`; None is the platform's usual one.
        Raises:
          ValueError: an unknown platform or dtype.
        """
        if platform not in PLATFORMS:
            raise ValueError(f"platform={platform!r} is not one of {tuple(PLATFORMS)}")
        return cls._choose(platform, dtype)

    @classmethod
    def here(cls, dtype: "str | DTypes | None" = None, mesh: Mesh | None = None) -> "Execution":
        """The choices for the devices of a mesh; without one, for JAX's default platform.

        Args:
          dtype: as in `on`.
        Raises:
          ValueError: an unknown dtype.
        """
        if mesh is None:
            return cls._choose(jax.default_backend(), dtype)
        return cls._choose(mesh.devices.flat[0].platform, dtype, mesh)

    @classmethod
    def _choose(
        cls, platform: str, dtype: "str | DTypes | None", mesh: Mesh | None = None
    ) -> "Execution":
        found = platform_of(platform)
        dtype = found.dtype if dtype is None else dtype
        dtypes = DTypes.all(dtype) if isinstance(dtype, str) else dtype
        formulation: Formulation = Reference()
        if platform == "tpu":
            formulation = Tpu()
        elif platform == "cpu":
            formulation = _on_cpu(dtypes.compute, mesh)
        return cls(dtypes=dtypes, platform=found, formulation=formulation)

    def with_weights(self, weights: str | None) -> "Execution":
        """The same, with the matrices in another format; None changes nothing.

        Beside int8 weights the kernels for CPUs keep keys and values in bfloat16: a step of eight
        rows takes 0.7 of the time, and distributions change less than by the weights.
        """
        if weights is None:
            return self
        dtypes = dataclasses.replace(self.dtypes, weights=weights)
        if weights == "int8" and isinstance(self.formulation, CpuKernels):
            dtypes = dataclasses.replace(dtypes, cache="bfloat16")
        return dataclasses.replace(self, dtypes=dtypes)

    def for_training(self) -> "Execution":
        """The same with gradients, and parameters in float32: only products use another format."""
        by = self.formulation.cpu if isinstance(self.formulation, CpuKernels) else self.formulation
        dtypes = DTypes(compute=self.dtypes.compute)
        return dataclasses.replace(self, dtypes=dtypes, formulation=by)

    def linear(self, x: jax.Array, weight_OI: jax.Array) -> jax.Array:
        """See `Formulation.linear`."""
        return self.formulation.linear(x, weight_OI, self.dtypes.compute)

    def look_up(self, table_RC: jax.Array, ids: jax.Array) -> jax.Array:
        """See `Formulation.look_up`."""
        return self.formulation.look_up(table_RC, ids)

    def rows_from(self, matrix_RC: jax.Array, first: jax.Array | int, count: int) -> jax.Array:
        """See `Formulation.rows_from`."""
        return self.formulation.rows_from(matrix_RC, first, count)

    def attend_sequence(
        self, q_BTHK: jax.Array, k_BTHK: jax.Array, v_BTHK: jax.Array, *, is_causal: bool
    ) -> jax.Array:
        """See `Formulation.attend_sequence`."""
        return self.formulation.attend_sequence(
            q_BTHK, k_BTHK, v_BTHK, is_causal, self.dtypes.compute
        )

    def cache_of_prompt(self, k_BPHK: jax.Array, v_BPHK: jax.Array, slots: int) -> LayerCache:
        """See `Formulation.cache_of_prompt`."""
        return self.formulation.cache_of_prompt(k_BPHK, v_BPHK, slots, self.dtypes.cache)

    def attend_cache(
        self,
        q_B1HK: jax.Array,
        k_B1HK: jax.Array,
        v_B1HK: jax.Array,
        cache: Any,
        visible_BM: jax.Array,
        slot: jax.Array,
    ) -> tuple[jax.Array, Any]:
        """See `Formulation.attend_cache`."""
        return self.formulation.attend_cache(
            q_B1HK, k_B1HK, v_B1HK, cache, visible_BM, slot, self.dtypes.compute
        )


def _on_cpu(compute: str, mesh: Mesh | None) -> Formulation:
    """The formulation for CPUs: kernels where they can be, which XLA cannot split over a mesh."""
    if mesh is not None and dict(mesh.shape).get(MODEL, 1) > 1:
        return Cpu(single_row_parts=1)
    if mesh is not None or compute != "float32" or why_missing():
        return Cpu()
    return CpuKernels(has_int8_sequences=has_sequences())
