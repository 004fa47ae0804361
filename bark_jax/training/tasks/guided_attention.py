"""Guided attention: a push towards reading the text from left to right.

In chosen layers the first head pays for attention away from the diagonal between text and time.
With it a small model finds the alignment within hundreds of steps; it fades out over the first part
of the run. Source of the idea: Tachibana et al. 2017, "Efficiently trainable text-to-speech".
"""

import jax
import jax.numpy as jnp


def off_diagonal(
    q_BTK: jax.Array, k_BTK: jax.Array, n_text_B: jax.Array, n_tokens_B: jax.Array, first: int
) -> jax.Array:
    """Attention mass of one head outside a Gaussian around the text/time diagonal.

    Args:
      q_BTK, k_BTK: queries and keys of all positions; the text is at 0 … `first` - 1.
      n_text_B, n_tokens_B: how many text positions and tokens each row has.
      first: position of the first token's query.
    Returns:
      Sum over the tokens of all rows, float32 []; each token gives 0 … 1.
    """
    T = q_BTK.shape[1]
    logits_BTM = jnp.einsum("BTK,BMK->BTM", q_BTK[:, first:], k_BTK) * q_BTK.shape[-1] ** -0.5
    is_seen_TM = jnp.arange(T)[None] <= jnp.arange(first, T)[:, None]
    weights_BTM = jax.nn.softmax(jnp.where(is_seen_TM[None], logits_BTM, -jnp.inf))

    n_text_B1 = n_text_B[:, None].astype(jnp.float32)
    center_BT = n_text_B1 * (jnp.arange(T - first)[None] / jnp.maximum(n_tokens_B, 1)[:, None])
    width_B1 = 1.5 + 0.06 * n_text_B1
    place_M = jnp.arange(first, dtype=jnp.float32)
    away_BTM = (place_M[None, None] - center_BT[..., None]) / width_B1[..., None]
    is_text_BM = jnp.arange(first)[None] < n_text_B[:, None]
    near_BTM = jnp.where(is_text_BM[:, None], jnp.exp(-0.5 * jnp.square(away_BTM)), 0)
    mass_BT = (weights_BTM[..., :first] * near_BTM).sum(-1)
    is_token_BT = jnp.arange(T - first)[None] < n_tokens_B[:, None]
    return jnp.where(is_token_BT, 1 - mass_BT, 0).sum()
