"""Cross-entropy over the targets of a batch, as sums."""

import jax
import jax.numpy as jnp
import optax

IGNORED = -1  # a position without a target


def token_sums(logits_BTV: jax.Array, targets_BT: jax.Array) -> dict[str, jax.Array]:
    """`loss` [nats] and `accuracy` over all positions whose target is not IGNORED.

    Args:
      logits_BTV: float32; ids that cannot be drawn hold -inf.
      targets_BT: int32 in [0, V), or IGNORED.
    """
    is_target_BT = targets_BT != IGNORED
    label_BT = jnp.where(is_target_BT, targets_BT, 0)
    loss_BT = optax.softmax_cross_entropy_with_integer_labels(logits_BTV, label_BT)
    is_right_BT = jnp.argmax(logits_BTV, axis=-1) == label_BT
    return {
        "loss": sum_of(loss_BT, is_target_BT),
        "accuracy": sum_of(is_right_BT.astype(jnp.float32), is_target_BT),
    }


def sum_of(values: jax.Array, is_counted: jax.Array) -> jax.Array:
    """[sum of the counted values, their number], as `LossSums` wants it."""
    total = jnp.where(is_counted, values, 0).sum()
    return jnp.stack([total, is_counted.sum().astype(jnp.float32)])
