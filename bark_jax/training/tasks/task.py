"""What a training run needs to know of the model that it trains: examples in, sums of losses out.

The loop (`run/loop.py`) knows only this; `make.make_task` makes the tasks of the stages.
"""

from typing import Protocol

import flax.struct
import jax
import numpy as np

from bark_jax.config import BarkConfig
from bark_jax.data.records import Record
from bark_jax.params import Params

Example = dict[str, np.ndarray]  # fixed shapes, so that a batch is each array stacked
Batch = dict[str, jax.Array]


@flax.struct.dataclass
class LossSums:
    """The losses of one batch. Sums and weights add up over micro-batches and devices.

    The sum in `sums["loss"]` is differentiated; the weight divides only at the end. Accumulated
    batches therefore give the gradient of one large batch.
    """

    sums: dict[str, jax.Array]  # name -> float32 (2,): sum over targets, number of targets
    updates: Params  # leaves that replace those of the parameters after the step; mostly {}


class Task(Protocol):
    """One stage's training. Implementations are frozen dataclasses: static under `jax.jit`."""

    @property
    def stage(self) -> str: ...

    @property
    def cfg(self) -> BarkConfig: ...

    @property
    def needs_audio(self) -> bool: ...

    @property
    def history_share(self) -> float:
        """Share of the examples that continue another record of the same speaker."""
        ...

    def for_evaluation(self) -> "Task":
        """The same task without corruption of its inputs or other training aids."""
        ...

    def example(
        self, record: Record, history: Record | None, rng: np.random.Generator
    ) -> Example: ...

    def init(self, key: jax.Array) -> Params:
        """Parameters of a new model."""
        ...

    def helpers(self, key: jax.Array) -> Params:
        """New parameters that only training needs, under names of their own; mostly {}."""
        ...

    def is_trained(self, name: str) -> bool:
        """Whether the parameter of a dotted name gets gradients (codebooks do not)."""
        ...

    def loss(
        self, params: Params, batch: Batch, key: jax.Array | None, progress: jax.Array
    ) -> LossSums:
        """Sums over one batch.

        Args:
          key: for the step's random choices, the same for all its micro-batches; None evaluates.
          progress: float32 [], the share of the run that is done, for what fades out.
        """
        ...
