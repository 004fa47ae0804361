"""The hooks of one stage: what a compiled program is given of edits and traces."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.hooks.edits import NEVER, Place, RowEdits, stack
from bark_jax.hooks.names import WEIGHTS
from bark_jax.models.forward import Seen
from bark_jax.models.layers import Tap, untouched
from bark_jax.processors.rows import Step, steps_of


@flax.struct.dataclass
class Hooks:
    """Edits of the rows of a batch, and the names of what is kept. Without any, a program has none.

    Names are without the stage's. Edits are traced: new values compile nothing.
    """

    edits: dict[str, tuple[Step, ...]] = flax.struct.field(default_factory=dict)
    first_B: Any = None  # int32, the step of the first position, where the stage cannot tell
    names: tuple[str, ...] = flax.struct.field(pytree_node=False, default=())

    @classmethod
    def of(cls, stage: str, rows: Sequence[RowEdits], names: Sequence[str] = ()) -> "Hooks":
        """Those of a stage.

        Args:
          rows: edits of every row, by full names.
          names: full names of what is kept.
        """
        prefix = f"{stage}."
        edited = {name: None for row in rows for name in row if name.startswith(prefix)}
        return cls(
            edits={
                name.removeprefix(prefix): steps_of([row.get(name, ()) for row in rows], stack)
                for name in edited
            },
            names=tuple(n.removeprefix(prefix) for n in names if n.startswith(prefix)),
        )

    def __bool__(self) -> bool:
        return bool(self.edits or self.names)

    def take(self, rows: Sequence[int], first_B: np.ndarray | None = None) -> "Hooks":
        """Those of these rows only, for the same programs."""
        edits = jax.tree.map(lambda leaf: leaf[np.asarray(rows)], self.edits)
        return Hooks(edits, first_B if self else None, self.names)

    def tap(self, place: Callable[[], Place], *, is_causal: bool = True) -> tuple[Tap, Seen]:
        """A tap for one pass, and what it will have kept after it, by name.

        Args:
          place: makes what edits are called with, if there are any.
          is_causal: of the pass, for attention weights (B, T, H, M) over its positions.
        """
        seen: Seen = {}
        if not self:
            return untouched, seen
        at = place()
        queries: list[jax.Array] = []

        def tap(name: str, value: jax.Array) -> jax.Array:
            for edit in self.edits.get(name, ()):
                changed = edit(value, at)
                if changed.shape != value.shape:
                    raise ValueError(
                        f"an edit of {name} gives shape {changed.shape}, want {value.shape}"
                    )
                value = changed.astype(value.dtype)
            if name in self.names:
                seen[name] = value
            if name.endswith("attn.q"):
                queries[:] = [value]
            elif name.endswith("attn.k"):
                weights = name.removesuffix("attn.k") + WEIGHTS
                if weights in self.names:
                    seen[weights] = attention_weights(queries[0], value, is_causal)
            return value

        return tap, seen


NO_HOOKS = Hooks()


def attention_weights(q_BTHK: jax.Array, k_BMHK: jax.Array, is_causal: bool) -> jax.Array:
    """How much each position attends to which, (B, T, H, M), in float32."""
    T, K = q_BTHK.shape[1], q_BTHK.shape[3]
    logits_BTHM = jnp.einsum("BTHK,BMHK->BTHM", q_BTHK, k_BMHK, precision=jax.lax.Precision.HIGHEST)
    logits_BTHM = logits_BTHM.astype(jnp.float32) * K**-0.5
    if is_causal:
        is_seen_TM = jnp.tril(jnp.ones((T, T), bool))
        logits_BTHM = jnp.where(is_seen_TM[None, :, None], logits_BTHM, -jnp.inf)
    return jax.nn.softmax(logits_BTHM)


def step_of(first_B: jax.Array, n_positions: int, n_fixed: int = 0) -> jax.Array:
    """Steps (B, T) of positions in order; of the first `n_fixed` ones that of no edit."""
    at_T = jnp.arange(n_positions)
    step_BT = first_B[:, None] + at_T[None]
    return jnp.where((at_T < n_fixed)[None], NEVER, step_BT)


def room_for(seen: Seen, n_steps: int) -> Seen:
    """Empty buffers (B, n_steps, …) for what is kept of single positions (B, …)."""
    return {
        name: jnp.full((len(value), n_steps, *value.shape[1:]), jnp.nan, value.dtype)
        for name, value in seen.items()
    }


def put(buffers: Seen, seen: Seen, step_B: Callable[[], jax.Array]) -> Seen:
    """The buffers with what was seen (B, …) at each row's step; past the end it is dropped."""
    if not buffers:
        return buffers
    at_B = step_B()
    rows_B = jnp.arange(len(at_B))
    return {
        name: buffer.at[rows_B, at_B].set(seen[name], mode="drop")
        for name, buffer in buffers.items()
    }
