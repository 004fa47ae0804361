"""Guided attention: a push towards reading the text from left to right.

In chosen layers the first head pays for attention away from where the text should be read: on the
diagonal between text and time or, where tokens tell the units of speech, between text and units.
With it a small model finds the alignment within hundreds of steps; it fades out over the first part
of the run. Source of the idea: Tachibana et al. 2017, "Efficiently trainable text-to-speech".
"""

import jax
import jax.numpy as jnp
import numpy as np


def off_diagonal(
    q_BTK: jax.Array,
    k_BTK: jax.Array,
    n_text_B: jax.Array,
    share_BT: jax.Array,
    is_token_BT: jax.Array,
    slope: float,
) -> jax.Array:
    """Attention mass of one head outside a Gaussian around the place that should be read.

    Args:
      q_BTK, k_BTK: queries and keys of all positions; the text is at the first ones, and the
        tokens' queries at the last ones.
      n_text_B: how many text positions each row has.
      share_BT: the share of the text that lies before each token, 0 … 1.
      is_token_BT: which tokens count.
      slope: of the Gaussian's width in the text's length.
    Returns:
      Sum over the tokens of all rows, float32 []; each token gives 0 … 1.
    """
    T = q_BTK.shape[1]
    first = T - share_BT.shape[1]
    logits_BTM = jnp.einsum("BTK,BMK->BTM", q_BTK[:, first:], k_BTK) * q_BTK.shape[-1] ** -0.5
    is_seen_TM = jnp.arange(T)[None] <= jnp.arange(first, T)[:, None]
    weights_BTM = jax.nn.softmax(jnp.where(is_seen_TM[None], logits_BTM, -jnp.inf))

    n_text_B1 = n_text_B[:, None].astype(jnp.float32)
    center_BT = n_text_B1 * share_BT
    width_B1 = 1.5 + slope * n_text_B1
    place_M = jnp.arange(first, dtype=jnp.float32)
    away_BTM = (place_M[None, None] - center_BT[..., None]) / width_B1[..., None]
    is_text_BM = jnp.arange(first)[None] < n_text_B[:, None]
    near_BTM = jnp.where(is_text_BM[:, None], jnp.exp(-0.5 * jnp.square(away_BTM)), 0)
    mass_BT = (weights_BTM[..., :first] * near_BTM).sum(-1)
    return jnp.where(is_token_BT, 1 - mass_BT, 0).sum()


def share_of_time(n_tokens: int) -> np.ndarray:
    """(n_tokens,) float32: even steps from 0 to 1."""
    return np.arange(n_tokens, dtype=np.float32) / max(n_tokens, 1)


def share_of_units(tokens: np.ndarray, states: int) -> np.ndarray:
    """(N,) float32: the share of the units of speech that lies before the middle of each token's.

    Args:
      tokens: (N,) ids; `states` consecutive ids are a unit's states, which follow each other. A
        unit begins where the unit changes or its states start over.
    """
    unit, state = np.divmod(tokens, states)
    begins = (unit[1:] != unit[:-1]) | (state[1:] < state[:-1])
    index = np.concatenate([[0], np.cumsum(begins)])[: len(tokens)]
    return ((index + 0.5) / (index[-1] + 1 if len(index) else 1)).astype(np.float32)
