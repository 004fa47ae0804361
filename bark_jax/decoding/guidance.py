"""Two conditions of every row, read side by side, and one distribution made of both.

Classifier-free guidance: Sanchez et al., Stay on topic (arXiv 2306.17806).
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from bark_jax.config import GPTConfig
from bark_jax.models.binding import bind
from bark_jax.models.gpt import GPT, Cache
from bark_jax.models.layers import Tap, untouched
from bark_jax.params import Params
from bark_jax.runtime.execution import Execution


@flax.struct.dataclass
class Guide:
    """How far every row goes from its other condition, and the model that reads that one."""

    scale_B: jax.Array  # 1 = the row's own condition alone
    params: Params | None = None  # of the other model; None: the same model reads both
    cfg: GPTConfig | None = flax.struct.field(pytree_node=False, default=None)
    execution: Execution | None = flax.struct.field(pytree_node=False, default=None)

    @property
    def n_conditions(self) -> int:
        """Prompts of a row."""
        return 2

    def take(self, rows: Any) -> "Guide":
        """That of these rows only, for the same programs."""
        return self.replace(scale_B=self.scale_B[rows])  # pyright: ignore


def bind_guided(
    cfg: GPTConfig, execution: Execution, params: Params, guide: Guide | None
) -> "CausalModel":
    """The GPT, or what stands for it where rows are guided. Call it inside `jax.jit`.

    A guided GPT is given prompts of own and other conditions in turns, (2 B, …), and keeps a
    position and visible slots for each. It is given the tokens (B,) that both conditions read, and
    gives logits (B, V). A tap is called with what the own conditions hold, (B, …).
    """
    model = bind(GPT, cfg, execution, params=params)
    if guide is None:
        return model
    if guide.params is None:
        return PairedRows(model, guide.scale_B)
    other = bind(GPT, guide.cfg, guide.execution, params=guide.params)
    return PairedModels(model, other, guide.scale_B)


class PairedRows:
    """One model reads both conditions, as rows of one batch: weights are read once for both."""

    def __init__(self, model: GPT, scale_B: jax.Array) -> None:
        self.model, self.scale_B = model, scale_B
        self.embed, self.embed_merged = model.embed, model.embed_merged

    def prefill(
        self, x_BPD: jax.Array, length_B: jax.Array, slots: int, tap: Tap = untouched
    ) -> tuple[jax.Array, Cache]:
        return self.model.prefill(x_BPD, length_B, slots, _tap_of_own(tap))

    def step(
        self,
        ids_B: jax.Array,
        position_B: jax.Array,
        cache: Cache,
        visible_BM: jax.Array,
        slot: jax.Array,
        tap: Tap = untouched,
    ) -> tuple[jax.Array, Cache]:
        ids_B = jnp.repeat(ids_B, 2)
        return self.model.step(ids_B, position_B, cache, visible_BM, slot, _tap_of_own(tap))

    def logits(
        self, x_BD: jax.Array, first: jax.Array | int = 0, count: int | None = None
    ) -> jax.Array:
        logits_BV = self.model.logits(x_BD, first, count)
        return guided(logits_BV[0::2], logits_BV[1::2], self.scale_B)


class PairedModels:
    """Each condition is read by a model of its own. The layers of one follow those of the other.

    Embeddings and outputs are as wide as those of the wider model; zeros fill up the other's.
    """

    def __init__(self, own: GPT, other: GPT, scale_B: jax.Array) -> None:
        self.models = own, other
        self.scale_B = scale_B

    def embed(self, ids_BT: jax.Array) -> jax.Array:
        return _in_turns(*(m.embed(ids_BT[i::2]) for i, m in enumerate(self.models)))

    def embed_merged(self, ids_BT: jax.Array, length: int) -> jax.Array:
        return _in_turns(*(m.embed_merged(ids_BT[i::2], length) for i, m in enumerate(self.models)))

    def prefill(
        self, x_BPD: jax.Array, length_B: jax.Array, slots: int, tap: Tap = untouched
    ) -> tuple[jax.Array, Cache]:
        (own_BD, own), (other_BD, other) = (
            m.prefill(x_BPD[i::2, :, : _width(m)], length_B[i::2], slots, untouched if i else tap)
            for i, m in enumerate(self.models)
        )
        return _in_turns(own_BD, other_BD), (*own, *other)

    def step(
        self,
        ids_B: jax.Array,
        position_B: jax.Array,
        cache: Cache,
        visible_BM: jax.Array,
        slot: jax.Array,
        tap: Tap = untouched,
    ) -> tuple[jax.Array, Cache]:
        own, other = self.models
        n = len(own.h)
        own_BD, own_cache = own.step(
            ids_B, position_B[0::2], cache[:n], visible_BM[0::2], slot, tap
        )
        other_BD, other_cache = other.step(
            ids_B, position_B[1::2], cache[n:], visible_BM[1::2], slot
        )
        return _in_turns(own_BD, other_BD), (*own_cache, *other_cache)

    def logits(
        self, x_BD: jax.Array, first: jax.Array | int = 0, count: int | None = None
    ) -> jax.Array:
        own_BV, other_BV = (
            m.logits(x_BD[i::2, : _width(m)], first, count) for i, m in enumerate(self.models)
        )
        n_common = min(own_BV.shape[1], other_BV.shape[1])  # what follows is never drawn
        return guided(own_BV[:, :n_common], other_BV[:, :n_common], self.scale_B)


CausalModel = GPT | PairedRows | PairedModels


def guided(own_BV: jax.Array, other_BV: jax.Array, scale_B: jax.Array) -> jax.Array:
    """`scale` times the way from the other condition's logits to the row's own.

    Written so that a scale of 1 gives the row's own logits without any rounding.
    """
    return own_BV + (scale_B[:, None] - 1) * (own_BV - other_BV)


def _tap_of_own(tap: Tap) -> Tap:
    """A tap that sees the rows' own conditions alone."""

    def tap_of_both(name: str, value: jax.Array) -> jax.Array:
        return _in_turns(tap(name, value[0::2]), value[1::2])

    return tap if tap is untouched else tap_of_both


def _width(model: GPT) -> int:
    return model.wpe.weight.shape[1]


def _in_turns(own: jax.Array, other: jax.Array) -> jax.Array:
    """(2 B, …, D) from two arrays (B, …, D) whose last axes may differ."""
    width = max(own.shape[-1], other.shape[-1])
    own, other = (
        jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, width - x.shape[-1])]) for x in (own, other)
    )
    return jnp.stack([own, other], 1).reshape(-1, *own.shape[1:])
