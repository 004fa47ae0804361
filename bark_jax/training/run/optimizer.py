"""AdamW with warm-up and cosine decay, whose learning rate follows the share of the run done."""

import dataclasses
from typing import cast

import jax
import jax.numpy as jnp
import optax

from bark_jax.params import Params


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """AdamW's settings; `learning_rate` is the peak."""

    learning_rate: float = 1e-4
    final_share: float = 0.0  # of the peak, at the end of the run
    warmup_steps: int = 50
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-8
    weight_decay: float = 0.01  # of matrices and tables; gains and biases are left alone
    clip_norm: float = 1.0  # greatest norm of the whole gradient; 0 switches clipping off

    def __post_init__(self) -> None:
        allowed = {
            "learning_rate": self.learning_rate > 0,
            "final_share": 0 <= self.final_share <= 1,
            "warmup_steps": self.warmup_steps >= 0,
            "beta1": 0 <= self.beta1 < 1,
            "beta2": 0 <= self.beta2 < 1,
            "epsilon": self.epsilon > 0,
            "weight_decay": self.weight_decay >= 0,
            "clip_norm": self.clip_norm >= 0,
        }
        for name, is_allowed in allowed.items():
            if not is_allowed:
                raise ValueError(f"optimizer.{name}={getattr(self, name)} is out of its range")


def make_optimizer(settings: OptimizerSettings) -> optax.GradientTransformation:
    """AdamW without its learning rate, which the step multiplies the updates by."""
    clip = [optax.clip_by_global_norm(settings.clip_norm)] if settings.clip_norm else []
    return optax.chain(
        *clip,
        optax.scale_by_adam(settings.beta1, settings.beta2, settings.epsilon),
        optax.add_decayed_weights(settings.weight_decay, mask=_is_matrix),
    )


def descent(
    settings: OptimizerSettings, gradients: Params, state: optax.OptState, params: Params
) -> tuple[Params, optax.OptState]:
    """What a learning rate of 1 would subtract from `params`, and the new state."""
    with jax.numpy_dtype_promotion("standard"):  # optax mixes its counter with floats
        updates, state = make_optimizer(settings).update(gradients, state, params)
    return cast(Params, updates), state


def learning_rate(settings: OptimizerSettings, step: jax.Array, progress: jax.Array) -> jax.Array:
    """The rate of one step.

    Args:
      step: int32 [], steps done before.
      progress: float32 [], share of the run done: of its steps, or of its time.
    """
    warm = jnp.minimum(1.0, (step + 1) / max(1, settings.warmup_steps))
    cosine = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(progress, 0, 1)))
    return (
        settings.learning_rate * warm * (settings.final_share + (1 - settings.final_share) * cosine)
    )


def _is_matrix(params: Params) -> Params:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
