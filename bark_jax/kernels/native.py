"""Loads the compiled kernels and makes them known to XLA."""

import ctypes
import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Number format -> the handler in handlers.cc. A handler that comes to compute something else gets
# another name: programs in the compile cache know it by its name alone.
LINEAR = {  # of weights
    "float32": "bark_jax_linear_float32",
    "bfloat16": "bark_jax_linear_bfloat16",
    "int8": "bark_jax_linear_int8",
}
SEQUENCE = "bark_jax_linear_int8_sequence"  # of int8 weights and activations
ATTEND_SEQUENCE = "bark_jax_attend_sequence"
ATTEND = {"float32": "bark_jax_attend_float32", "bfloat16": "bark_jax_attend_bfloat16"}  # of caches


@functools.cache
def _library() -> ctypes.CDLL | str:
    """The kernels, made known to XLA; or why there are none, in words."""
    found = importlib.util.find_spec("bark_jax.kernels._handlers")
    if found is None or found.origin is None:
        return "its kernels were not built, for which installing needs a C++ compiler"
    try:
        library = ctypes.CDLL(found.origin)
        for name in (*LINEAR.values(), SEQUENCE, ATTEND_SEQUENCE, *ATTEND.values()):
            handler = jax.ffi.pycapsule(getattr(library, name))
            jax.ffi.register_ffi_target(name, handler, platform="cpu")
    except (OSError, AttributeError, RuntimeError) as error:  # of another machine, or another JAX
        return f"its kernels cannot be loaded: {error}"
    return library


def why_missing() -> str | None:
    """Why there are no kernels, in words; None if they are ready for use."""
    library = _library()
    return library if isinstance(library, str) else None


def has_sequences() -> bool:
    """Whether this processor can do `linear_sequence` (AVX-512 VNNI)."""
    library = _library()
    return not isinstance(library, str) and bool(library.bark_jax_has_int8_sequences())


def linear(x_NI: jax.Array, weight_OI: jax.Array) -> jax.Array:
    """`x @ weight.T` (N, O) of float32 x and a weight in one of the formats of `LINEAR`.

    The weights are widened to float32, in registers; a row's result is the same in any batch. No
    gradient.
    """
    made = jax.ShapeDtypeStruct((len(x_NI), len(weight_OI)), jnp.float32)
    return _call(LINEAR[weight_OI.dtype.name], made)(x_NI, weight_OI)


def linear_sequence(x_NI: jax.Array, weight_OI: jax.Array) -> jax.Array:
    """`linear` of many rows and an int8 weight: x is rounded to int8, each row by its own scale.

    Some three times as fast as a product in float32. A row's result is the same in any batch.
    """
    made = jax.ShapeDtypeStruct((len(x_NI), len(weight_OI)), jnp.float32)
    return _call(SEQUENCE, made)(x_NI, weight_OI)


def attend_sequence(
    q_BTHK: jax.Array, k_BTHK: jax.Array, v_BTHK: jax.Array, is_causal: bool
) -> jax.Array:
    """Attention (B, T, H, K) of all positions to all, or to those up to their own; no gradient."""
    made = jax.ShapeDtypeStruct(q_BTHK.shape, jnp.float32)
    return _call(ATTEND_SEQUENCE, made)(q_BTHK, k_BTHK, v_BTHK, is_causal=np.bool_(is_causal))


def attend(
    q_BHK: jax.Array,
    k_BHK: jax.Array,
    v_BHK: jax.Array,
    cache_k_BHMK: jax.Array,
    cache_v_BHMK: jax.Array,
    visible_BM: jax.Array,
    slot: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Attention of one new position of every row to its visible slots and to itself.

    Only visible slots are read. Everything is float32 but the cache, in one of the formats of
    `ATTEND`, which is changed in place.

    Returns:
      The mixed values (B, H, K), and the caches with the new position in `slot`.
    """
    made = [jax.ShapeDtypeStruct(z.shape, z.dtype) for z in (q_BHK, cache_k_BHMK, cache_v_BHMK)]
    call = _call(ATTEND[cache_k_BHMK.dtype.name], made, input_output_aliases={3: 1, 4: 2})
    mixed_BHK, *caches = call(q_BHK, k_BHK, v_BHK, cache_k_BHMK, cache_v_BHMK, visible_BM, slot)
    return mixed_BHK, caches[0], caches[1]


def _call(name: str, made: Any, **options: Any) -> Callable[..., Any]:
    if why := why_missing():
        raise RuntimeError(f"bark_jax cannot compute this here: {why}")
    return jax.ffi.ffi_call(name, made, vmap_method="sequential", **options)
