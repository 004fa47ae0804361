"""The matrices of a transformer in fewer bytes: int8 with a scale per output, or bfloat16.

Decoding reads all weights for every token, so fewer bytes are less time and less memory. Only the
matrices of linear layers change (the head of a causal model included): embeddings, and with them
the tied heads of the fine model, LayerNorms, biases and the codec stay as they are.
"""

import re

import jax
import jax.numpy as jnp

from bark_jax.params import Params, flatten, unflatten

LINEAR = re.compile(r"(.*\.(c_attn|c_proj|c_fc)|lm_head)\.weight")
MOST = 127  # of an int8 weight; -128 is left out, so that zero is in the middle


def quantize(params: Params, weights: str) -> Params:
    """The parameters of a transformer with the matrices of its linear layers in another format.

    Args:
      params: as checkpoints have them, in floats. A matrix is let go of as soon as it has been
        changed, so that where nobody else holds them, they are never in memory twice.
      weights: "float32", "bfloat16" or "int8". An int8 matrix (O, I) gets a `scale` (O,) beside
        it, float32: its values are `weight * scale[:, None]`, each within half a scale of what it
        was.
    """
    flat = flatten(params)
    del params
    for name in [name for name in flat if LINEAR.fullmatch(name)]:
        weight_OI = flat.pop(name)
        if weights == "int8":
            flat[name], flat[name.removesuffix("weight") + "scale"] = _to_int8(weight_OI)
        else:
            flat[name] = weight_OI.astype(weights)
    return unflatten(flat)


@jax.jit
def _to_int8(weight_OI: jax.Array) -> tuple[jax.Array, jax.Array]:
    weight_OI = weight_OI.astype(jnp.float32)
    scale_O = jnp.abs(weight_OI).max(1) / MOST
    scale_O = jnp.where(scale_O == 0, 1.0, scale_O)
    return jnp.round(weight_OI / scale_O[:, None]).astype(jnp.int8), scale_O
