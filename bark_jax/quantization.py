"""The matrices of a transformer in fewer bytes: int8 with a scale per row, or bfloat16.

Decoding reads the matrices of all linear layers (the head of a causal model included) for every
token, so fewer bytes are less time and less memory. Of embeddings it reads a row, but their tables
fill memory: that of the text stage is more than half of its parameters. LayerNorms, biases and the
codec stay as they are.
"""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

MATRIX = re.compile(r"(.*\.(c_attn|c_proj|c_fc)|lm_head|wtes?(\.\d+)?|wpe)\.weight")
AT_ONCE = 32 << 20  # bytes of a matrix
MOST = 127  # of an int8 weight; -128 is left out, so that zero is in the middle

Array = jax.Array | np.ndarray


def quantized(name: str, array: Array, to: str) -> dict[str, Array]:
    """What a parameter is in another format, by dotted name; itself if it is no matrix.

    Args:
      to: "float32", "bfloat16" or "int8". An int8 matrix (R, C) gets a `scale` (R,) beside it,
        float32: its values are `weight * scale[:, None]`, each within half a scale of what it was.
        A matrix that is int8 already stays as it is.
    """
    if not MATRIX.fullmatch(name) or array.dtype == jnp.int8:
        return {name: array}
    if to == "int8":
        weight_RC, scale_R = _by_rows(_to_int8, array)
        return {name: weight_RC, name.removesuffix("weight") + "scale": scale_R}
    return {name: _by_rows(lambda weight_RC: jnp.asarray(weight_RC, to), array)}


def _by_rows(change: Callable[[Array], Any], matrix_RC: Array) -> Any:
    """`change` of some rows at a time, which copies no more than them."""
    n = max(1, AT_ONCE // (matrix_RC.shape[1] * matrix_RC.dtype.itemsize))
    parts = [
        jax.block_until_ready(change(matrix_RC[i : i + n])) for i in range(0, len(matrix_RC), n)
    ]
    return parts[0] if len(parts) == 1 else jax.tree.map(lambda *z: jnp.concatenate(z), *parts)


@jax.jit
def _to_int8(weight_RC: jax.Array) -> tuple[jax.Array, jax.Array]:
    weight_RC = weight_RC.astype(jnp.float32)
    scale_R = jnp.abs(weight_RC).max(1) / MOST
    scale_R = jnp.where(scale_R == 0, 1.0, scale_R)
    return jnp.round(weight_RC / scale_R[:, None]).astype(jnp.int8), scale_R
