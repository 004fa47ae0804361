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
    lone_row_options: Mapping[str, Any]  # besides those, for the token loop of a single row
    writes_cache_first: bool  # before attending to it; else the new position is attended apart
    caches_heads_together: bool  # models/cache.py; such a cache is always written first
    least_heads_apart: int | None  # in any other: arrays of their own for so many, from 2 rows on
    doubles_lone_rows: bool  # in matrix products: a matrix of one row is multiplied as two
    lone_row_parts: int  # such a product is made in so many parts, each some of the weight's rows
    most_turned_rows: int  # from 2 rows to so many, products are `(weight @ x.T).T`
    maps_heads: bool  # attention over whole sequences, one head after the other
    first_slots: int  # that the cache of a batch begins with
    block_steps: int  # decode steps between two looks at whether every row has ended
    parallel_rows: int  # rows per call of the fine model and of the codec
    batch_rows: int  # rows under way at a time where there are more of them


BACKENDS = {
    "cpu": Backend(
        dtype="float32",
        # Together these two let XLA write the KV cache in place inside the token loop: no copies
        # of it, and half the time of a step.
        compiler_options={"xla_cpu_copy_insertion_use_region_analysis": True},
        # Products alone go to YNNPACK: in its reductions, and what it fuses with them, a step of
        # one row waits for a core that has fallen asleep. 0.98 of a semantic step, 0.96 of a
        # coarse one; 1.04 of one of eight rows, 1.24 of a fine window.
        lone_row_options={"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_DOT"},
        writes_cache_first=False,
        caches_heads_together=False,
        # XLA shares work out where more than eight operations are ready. Six heads of a model with
        # four layers of 192: 5.4 ms a step apart, 5.2 together.
        least_heads_apart=9,
        doubles_lone_rows=False,
        # XLA cuts a product into tasks of some 2 MiB of weights: five for 3072 x 768, of which one
        # core of two does three. In eight equal parts: 0.90 of a step.
        lone_row_parts=8,
        # In a step of eight rows, small model: 62 to 46 ms together with heads apart.
        most_turned_rows=64,
        maps_heads=True,
        # Products of a head of 64 with more than 512 slots are shared by the cores: a step of the
        # small model takes 0.88 (8 rows) and 0.89 to 0.94 (one) of one with 448 slots.
        first_slots=576,
        block_steps=1,  # a look at the end costs nothing here
        parallel_rows=1,  # one row fills the cores
        batch_rows=8,
    ),
    "gpu": Backend(
        dtype="bfloat16",
        compiler_options={},
        lone_row_options={},
        writes_cache_first=True,
        caches_heads_together=False,
        least_heads_apart=None,
        doubles_lone_rows=False,
        lone_row_parts=1,
        most_turned_rows=0,
        maps_heads=False,
        first_slots=512,
        block_steps=16,
        parallel_rows=16,
        batch_rows=64,
    ),
    "tpu": Backend(
        dtype="bfloat16",
        compiler_options={},
        lone_row_options={},
        writes_cache_first=True,
        # Together, in estimated cycles of a token (v5e, small): 1.19 to 0.52 million for one row,
        # 1.72 to 0.62 for eight.
        caches_heads_together=True,
        least_heads_apart=None,
        doubles_lone_rows=True,
        lone_row_parts=1,
        most_turned_rows=0,
        maps_heads=False,
        first_slots=512,
        block_steps=1,  # the chip looks by itself, and no row goes on for nothing
        parallel_rows=16,
        batch_rows=64,
    ),
}


def current() -> Backend:
    """The choices for the default device of this process."""
    return BACKENDS[jax.default_backend()]
