"""What differs between CPU, GPU and TPU: compiler options, and how work is cut into calls."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax


@dataclasses.dataclass(frozen=True)
class Backend:
    """Measured choices for one platform; docs/performance.md has the figures."""

    dtype: str  # of parameters, products and cache, unless the user says otherwise
    compiler_options: Mapping[str, Any]
    block_steps: int  # decode steps between two looks at whether every row has ended
    fine_rows: int  # rows per call of the fine model
    batch_rows: int  # rows under way at a time where there are more of them


BACKENDS = {
    # Region analysis lets XLA write the KV cache in place inside the token loop. A look at the end
    # costs nothing here, and one row of the fine model already fills the cores.
    "cpu": Backend("float32", {"xla_cpu_copy_insertion_use_region_analysis": True}, 1, 1, 8),
    "gpu": Backend("bfloat16", {}, 16, 16, 64),
    # Without this a batch of one is multiplied on the vector unit: 2 to 4 times the cycles.
    "tpu": Backend("bfloat16", {"xla_tpu_enable_dot_strength_reduction": False}, 16, 16, 64),
}


def current() -> Backend:
    """The choices for the default device of this process."""
    return BACKENDS[jax.default_backend()]
