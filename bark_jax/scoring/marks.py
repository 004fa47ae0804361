"""What is said about one token, given the logits that it was, or would be, drawn from."""

import flax.struct
import jax
import jax.numpy as jnp

from bark_jax.models.forward import Seen

DETAILS = ("entropy", "rank", "logits")  # on request, beside the log-probability


@flax.struct.dataclass
class Marks:
    """Of tokens along T."""

    log_p_T: jax.Array  # natural logarithm
    entropy_T: jax.Array  # of the distribution [nat]
    rank_T: jax.Array  # int32, ids that are likelier
    logits_TV: jax.Array | None  # divided by the temperature
    seen: Seen = flax.struct.field(default_factory=dict)  # what hooks kept, (T, …) by name


def mark(
    logits_TV: jax.Array, token_T: jax.Array, temperature_T: jax.Array, with_logits: bool
) -> Marks:
    """At temperature 0 all probability lies on the likeliest id; its logits are not divided."""
    is_greedy_T = temperature_T == 0
    scaled_TV = logits_TV / jnp.where(is_greedy_T, 1, temperature_T)[:, None]
    log_p_TV = jax.nn.log_softmax(scaled_TV)
    terms_TV = jnp.where(jnp.isfinite(log_p_TV), jnp.exp(log_p_TV) * log_p_TV, 0)
    log_p_T = jnp.take_along_axis(log_p_TV, token_T[:, None], axis=-1)[:, 0]
    own_T1 = jnp.take_along_axis(logits_TV, token_T[:, None], axis=-1)
    certain_T = jnp.where(token_T == jnp.argmax(logits_TV, axis=-1), 0.0, -jnp.inf)
    return Marks(
        log_p_T=jnp.where(is_greedy_T, certain_T, log_p_T),
        entropy_T=jnp.where(is_greedy_T, 0.0, -terms_TV.sum(-1)),
        rank_T=(logits_TV > own_T1).sum(-1, dtype=jnp.int32),
        logits_TV=scaled_TV if with_logits else None,
    )
