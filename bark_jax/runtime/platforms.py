"""How work is cut into calls and compiled on CPU, GPU and TPU: measured choices.

docs/performance-log.md has the figures. How the arithmetic is done is chosen by a formulation.
"""

import dataclasses
from typing import Any

Options = tuple[tuple[str, Any], ...]  # of the compiler; pairs, so that they can be hashed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Platform:
    """Choices for one kind of device; static under `jax.jit`."""

    name: str  # as JAX calls it
    dtype: str  # of parameters, products and cache, unless the user says otherwise
    compiler_options: Options = ()
    single_row_options: Options = ()  # besides those, for the token loop of a single row
    first_slots: int  # slots that the cache of a batch starts with
    block_steps: int  # decode steps between two checks whether every row has ended
    parallel_rows: int  # rows per call of the fine model and of the codec
    batch_rows: int  # rows that run at a time where there are more of them


CPU = Platform(
    name="cpu",
    dtype="float32",
    # With this, XLA writes the KV cache in place inside the token loop: no copies of it, and half
    # the time of a decode step.
    compiler_options=(("xla_cpu_copy_insertion_use_region_analysis", True),),
    # Only products go to YNNPACK: in its reductions, and what it fuses with them, a decode step of
    # one row waits for a sleeping core. Time with this option over time without: semantic step
    # 0.98, coarse step 0.96; a step of eight rows 1.04, a fine window 1.24, so not for those.
    single_row_options=(("xla_cpu_experimental_ynn_fusion_type", "LIBRARY_FUSION_TYPE_DOT"),),
    # Products of a head of size 64 with more than 512 slots use all cores: a decode step of the
    # small model takes 0.88 (8 rows) and 0.89 to 0.94 (one row) of its time with 448 slots.
    first_slots=576,
    block_steps=1,  # checking for the end costs nothing here
    parallel_rows=1,  # one row fills the cores
    batch_rows=8,
)
GPU = Platform(
    name="gpu",
    dtype="bfloat16",
    first_slots=512,
    block_steps=16,
    parallel_rows=16,
    batch_rows=64,
)
TPU = Platform(
    name="tpu",
    dtype="bfloat16",
    first_slots=512,
    block_steps=1,  # the chip checks by itself, and no row takes needless steps
    parallel_rows=16,
    batch_rows=64,
)
PLATFORMS = {platform.name: platform for platform in (CPU, GPU, TPU)}


def platform_of(name: str) -> Platform:
    """The choices for a platform by JAX's name; an unmeasured one runs like a GPU, in float32."""
    if name in ("cuda", "rocm"):
        return GPU
    return PLATFORMS.get(name) or dataclasses.replace(GPU, name=name, dtype="float32")
