"""What the tasks of the three transformers share."""

import abc
import dataclasses
from typing import Any, ClassVar

import jax

from bark_jax.config import BarkConfig
from bark_jax.models.binding import bind, init_params
from bark_jax.models.fine_gpt import FineGPT
from bark_jax.models.gpt import GPT
from bark_jax.params import Params
from bark_jax.runtime.execution import Execution


def _float32_here() -> Execution:
    return Execution.here("float32")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformerTask(abc.ABC):
    """All parameters of one transformer are trained, and nothing else."""

    cfg: BarkConfig
    # of products; parameters are float32 in training
    execution: Execution = dataclasses.field(default_factory=_float32_here)
    remat: bool = False  # compute activations twice, to save memory
    history_share: float = 0.5
    corruption: float = 0.0  # share of random tokens among the inputs

    stage: ClassVar[str]
    make: ClassVar[type[GPT] | type[FineGPT]]
    needs_audio: ClassVar[bool] = False

    def init(self, key: jax.Array) -> Params:
        return init_params(self.make, *self._sizes, key=key)

    def helpers(self, key: jax.Array) -> Params:
        return {}

    def is_trained(self, name: str) -> bool:
        return True

    def model(self, params: Params) -> Any:
        """The module of this stage, a `GPT` or a `FineGPT`. Call it inside `jax.jit`."""
        return bind(self.make, *self._sizes, params=params)

    @property
    def _sizes(self) -> tuple[Any, ...]:
        return getattr(self.cfg, self.stage), self.execution.for_training()
