"""The formulation for CPUs where the kernels of `bark_jax.kernels` are built, in float32.

Attention, products of few rows, and products of sequences with int8 weights. Everything else is
`cpu.Cpu`, which also has all of it without kernels, and whose gradients these are.

In float32 a step of one row takes 0.81 of XLA's time, of eight rows 0.6, and a prompt of 887
positions 0.88 (small model on two cores; docs/performance-log.md).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from bark_jax.formulations.cpu import Cpu
from bark_jax.formulations.reference import SlotsThenHeadCache
from bark_jax.formulations.tables import Tables
from bark_jax.kernels import native

Multiply = Callable[[jax.Array, jax.Array], jax.Array]  # (x_NI, weight_OI) -> y_NO


@dataclasses.dataclass(frozen=True)
class CpuKernels(Tables):
    """See the module."""

    cpu: Cpu = dataclasses.field(default_factory=Cpu)  # for everything else
    # Whole sequences by int8 weights: activations become int8 as well. Decided by the shape of x,
    # not by its number of rows, so that a row computes the same in any batch.
    has_int8_sequences: bool = False

    def linear(self, x: jax.Array, weight_OI: jax.Array, dtype: str) -> jax.Array:
        is_sequence = x.ndim > 2 and x.shape[-2] > 1
        if is_sequence and self.has_int8_sequences and weight_OI.dtype == jnp.int8:
            return _linear(self.cpu, native.linear_sequence, x, weight_OI, dtype)
        if not is_sequence and weight_OI.dtype.name in native.LINEAR:
            return _linear(self.cpu, native.linear, x, weight_OI, dtype)
        return self.cpu.linear(x, weight_OI, dtype)

    def attend_sequence(
        self, q_BTHK: jax.Array, k_BTHK: jax.Array, v_BTHK: jax.Array, is_causal: bool, dtype: str
    ) -> jax.Array:
        return _attend(self.cpu, q_BTHK, k_BTHK, v_BTHK, is_causal, dtype)

    def cache_of_prompt(
        self, k_BPHK: jax.Array, v_BPHK: jax.Array, slots: int, dtype: str
    ) -> SlotsThenHeadCache:
        return SlotsThenHeadCache.of_prompt(k_BPHK, v_BPHK, slots, dtype)

    def attend_cache(
        self,
        q_B1HK: jax.Array,
        k_B1HK: jax.Array,
        v_B1HK: jax.Array,
        cache: SlotsThenHeadCache,
        visible_BM: jax.Array,
        slot: jax.Array,
        dtype: str,
    ) -> tuple[jax.Array, SlotsThenHeadCache]:
        new = (q_B1HK[:, 0], k_B1HK[:, 0], v_B1HK[:, 0])
        mixed_BHK, *caches = native.attend(*new, cache.k_BHMK, cache.v_BHMK, visible_BM, slot)
        return mixed_BHK[:, None], SlotsThenHeadCache(*caches)


def _multiply(
    cpu: Cpu, multiply: Multiply, x: jax.Array, weight_OI: jax.Array, dtype: str
) -> jax.Array:
    return multiply(x.reshape(-1, x.shape[-1]), weight_OI).reshape(*x.shape[:-1], -1)


def _multiply_forward(cpu: Cpu, multiply: Multiply, x: jax.Array, weight_OI: jax.Array, dtype: str):
    return _multiply(cpu, multiply, x, weight_OI, dtype), (x, weight_OI)


def _multiply_backward(
    cpu: Cpu, multiply: Multiply, dtype: str, kept: tuple[jax.Array, ...], g: jax.Array
):
    return jax.vjp(functools.partial(cpu.linear, dtype=dtype), *kept)[1](g)


def _attend_plainly(
    cpu: Cpu, q: jax.Array, k: jax.Array, v: jax.Array, is_causal: bool, dtype: str
) -> jax.Array:
    return native.attend_sequence(q, k, v, is_causal)


def _attend_forward(
    cpu: Cpu, q: jax.Array, k: jax.Array, v: jax.Array, is_causal: bool, dtype: str
):
    return native.attend_sequence(q, k, v, is_causal), (q, k, v)


def _attend_backward(
    cpu: Cpu, is_causal: bool, dtype: str, qkv: tuple[jax.Array, ...], g_BTHK: jax.Array
):
    attend = functools.partial(cpu.attend_sequence, is_causal=is_causal, dtype=dtype)
    return jax.vjp(attend, *qkv)[1](g_BTHK)


# Any: type checkers do not follow jax.custom_vjp
_linear: Any = jax.custom_vjp(_multiply, nondiff_argnums=(0, 1, 4))
_linear.defvjp(_multiply_forward, _multiply_backward)
_attend: Any = jax.custom_vjp(_attend_plainly, nondiff_argnums=(0, 4, 5))
_attend.defvjp(_attend_forward, _attend_backward)
