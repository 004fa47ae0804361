"""From records to batches, with grain, in one global order however many processes read it.

Order and examples depend on the seed alone. Process p of n takes every n-th row of each global
batch; the iterator's state is its place in that order, and goes into the checkpoint.
"""

import dataclasses
import math
from typing import cast

import grain
import numpy as np

from bark_jax.training.tasks.examples import Examples

HostBatch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoaderSettings:
    """How batches are prepared while the device computes; their content does not depend on it."""

    threads: int = 4
    prefetch: int = 64  # examples made ahead
    workers: int = 0  # processes; 0 reads in threads of this one

    def __post_init__(self) -> None:
        for name, least in (("threads", 1), ("prefetch", 1), ("workers", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"loader.{name}={getattr(self, name)}, want at least {least}")


@dataclasses.dataclass(frozen=True)
class Part:
    """One process among those that share each global batch."""

    index: int = 0
    count: int = 1


def training_batches(
    examples: Examples, rows: int, seed: int, part: Part, settings: LoaderSettings
) -> grain.DatasetIterator[HostBatch]:
    """Endless batches of this part's rows; every record once per epoch, epochs reshuffled."""
    indices = grain.MapDataset.range(len(examples.source)).seed(seed).shuffle().repeat()
    drawn = indices.random_map(examples)[part.index :: part.count]
    batches = drawn.batch(rows // part.count, drop_remainder=True).to_iter_dataset(
        grain.ReadOptions(
            num_threads=settings.threads,
            prefetch_buffer_size=max(1, settings.prefetch * part.count // rows),
        )
    )
    if settings.workers:
        batches = batches.mp_prefetch(grain.MultiprocessingOptions(settings.workers, 2))
    return iter(batches)


def evaluation_batches(examples: Examples, rows: int, limit: int, part: Part) -> list[HostBatch]:
    """This part's rows of at most `limit` batches, always the same.

    Where the records do not fill a batch, they repeat from the first one on.
    """
    n_batches = min(limit, math.ceil(len(examples.source) / rows))
    drawn = grain.MapDataset.range(len(examples.source)).seed(0).repeat().random_map(examples)
    batches = drawn[part.index :: part.count].batch(rows // part.count, drop_remainder=True)
    return cast("list[HostBatch]", [batches[i] for i in range(n_batches)])
