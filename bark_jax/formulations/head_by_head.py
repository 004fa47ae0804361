"""Attention of single heads as plain matrix products, one head after the other, with gradients.

XLA on CPU runs a batched product on one core: attention of 12 heads over 1024 positions takes 82 to
132 ms that way, 22 ms this way. The backward pass is written out: attention weights are recomputed
rather than kept, which halves the time of attention.
"""

from typing import Any

import jax
import jax.numpy as jnp

from bark_jax.formulations.products import einsum


def attend_heads(
    q_NTK: jax.Array, k_NTK: jax.Array, v_NTK: jax.Array, is_causal: bool, dtype: str
) -> jax.Array:
    """Attention (N, T, K) of N heads. Dividing by the sum after the second product saves a pass."""
    return _attend(q_NTK, k_NTK, v_NTK, is_causal, dtype)


def _attend_plainly(
    q_NTK: jax.Array, k_NTK: jax.Array, v_NTK: jax.Array, is_causal: bool, dtype: str
) -> jax.Array:
    return _attend_forward(q_NTK, k_NTK, v_NTK, is_causal, dtype)[0]


def _attend_forward(
    q_NTK: jax.Array, k_NTK: jax.Array, v_NTK: jax.Array, is_causal: bool, dtype: str
):
    def head(qkv: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        q_TK, k_TK, v_TK = qkv
        logits_TM = _logits(q_TK, k_TK, is_causal, dtype)
        top_T1 = logits_TM.max(-1, keepdims=True)
        weights_TM = jnp.exp(logits_TM - top_T1)
        total_T1 = weights_TM.sum(-1, keepdims=True)
        mixed_TK = einsum("tm,mk->tk", weights_TM, v_TK, dtype) / total_T1
        return mixed_TK, (top_T1 + jnp.log(total_T1))[:, 0]

    mixed_NTK, scale_NT = jax.lax.map(head, (q_NTK, k_NTK, v_NTK))
    return mixed_NTK, (q_NTK, k_NTK, v_NTK, mixed_NTK, scale_NT)


def _attend_backward(is_causal: bool, dtype: str, kept: tuple[jax.Array, ...], g_NTK: jax.Array):
    def head(each: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        q_TK, k_TK, v_TK, mixed_TK, scale_T, g_TK = each
        weights_TM = jnp.exp(_logits(q_TK, k_TK, is_causal, dtype) - scale_T[:, None])
        dv_TK = einsum("tm,tk->mk", weights_TM, g_TK, dtype)
        dweights_TM = einsum("tk,mk->tm", g_TK, v_TK, dtype)
        own_T1 = (g_TK * mixed_TK).sum(-1, keepdims=True)
        dlogits_TM = weights_TM * (dweights_TM - own_T1) * _scale(q_TK)
        dq_TK = einsum("tm,mk->tk", dlogits_TM, k_TK, dtype)
        dk_TK = einsum("tm,tk->mk", dlogits_TM, q_TK, dtype)
        return dq_TK, dk_TK, dv_TK

    return jax.lax.map(head, (*kept, g_NTK))


def _logits(q_TK: jax.Array, k_TK: jax.Array, is_causal: bool, dtype: str) -> jax.Array:
    logits_TM = einsum("tk,mk->tm", q_TK * _scale(q_TK), k_TK, dtype)
    if is_causal:
        logits_TM = jnp.where(jnp.tril(jnp.ones(logits_TM.shape, bool)), logits_TM, -jnp.inf)
    return logits_TM


def _scale(q_TK: jax.Array) -> float:
    return q_TK.shape[-1] ** -0.5


# Any: type checkers do not follow jax.custom_vjp
_attend: Any = jax.custom_vjp(_attend_plainly, nondiff_argnums=(3, 4))
_attend.defvjp(_attend_forward, _attend_backward)
