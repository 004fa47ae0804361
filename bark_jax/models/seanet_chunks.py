"""SEANet's decoder chunk by chunk: every layer carries along what it needs of the steps before.

All layers are causal, so the chunks together are the decoder's whole output, with nothing computed
twice. Only a row's start needs more than it: each convolution mirrors its own first steps there,
so that the first chunk holds `kernel_size` frames or the whole row.
"""

import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from bark_jax.models.seanet import (
    LSTM,
    Conv,
    ConvTranspose,
    Decoder,
    Lengths,
    Residual,
    convolve,
    convolve_transposed,
    elu,
    pad_reflect,
)

Carry = Any  # of a layer: arrays (B, …), or a tuple of them


@flax.struct.dataclass
class ChunkState:
    """What the chunks so far leave for the next one."""

    carries: dict[str, Carry]  # by the layer's name
    has_begun: jax.Array  # bool []: there was a chunk before


def first_state(decoder: Decoder, n_rows: int) -> ChunkState:
    """The state before the first chunk: zeros."""
    carries = {name: _blank(layer, n_rows) for name, layer in decoder.layers.items()}
    return ChunkState(carries, jnp.bool_(False))


def decode_chunk(
    decoder: Decoder, latents_BTL: jax.Array, length_B: jax.Array, state: ChunkState
) -> tuple[jax.Array, ChunkState]:
    """The next T frames of every row.

    Args:
      length_B: int32, frames of each row in this chunk; fewer than T only in its last one.
    Returns:
      samples_BS, S = T · hop_length, and the state for the next chunk.
    """
    x_BTC, lengths, carries = latents_BTL, length_B, {}
    for name in map(str, range(decoder.n_layers)):
        if name not in decoder.layers:
            x_BTC = elu(x_BTC)
            continue
        layer = decoder.layers[name]
        x_BTC, carries[name] = _run(layer, x_BTC, lengths, state.carries[name], state.has_begun)
        if isinstance(layer, ConvTranspose):
            lengths = lengths * layer.stride
    return x_BTC[..., 0], ChunkState(carries, jnp.bool_(True))


@functools.singledispatch
def _blank(layer: Any, n_rows: int) -> Carry:
    """What a layer carries before the first chunk."""
    raise TypeError(f"{type(layer).__name__} is no layer of a decoder")


@functools.singledispatch
def _run(
    layer: Any, x_BTC: jax.Array, length_B: Lengths, carry: Carry, has_begun: jax.Array
) -> tuple[jax.Array, Carry]:
    """A layer's output for a chunk, and what it carries on."""
    raise TypeError(f"{type(layer).__name__} is no layer of a decoder")


@_blank.register
def _(layer: Conv, n_rows: int) -> Carry:
    return jnp.zeros((n_rows, layer.kernel - 1, layer.conv.weight_v.shape[1]))


@_run.register
def _(layer: Conv, x_BTC: jax.Array, length_B: Lengths, carry: Carry, has_begun: jax.Array):
    n_before = layer.kernel - 1
    mirrored_BEC = pad_reflect(x_BTC, length_B, n_before)[:, :n_before]
    x_BTC = jnp.concatenate([jnp.where(has_begun, carry, mirrored_BEC), x_BTC], axis=1)
    y_BTN = convolve(x_BTC, layer.conv.weight(), stride=1) + layer.conv.bias[None, None]
    return y_BTN, x_BTC[:, x_BTC.shape[1] - n_before :]


@_blank.register
def _(layer: ConvTranspose, n_rows: int) -> Carry:
    return jnp.zeros((n_rows, 1, layer.conv.weight_v.shape[0]))


@_run.register
def _(
    layer: ConvTranspose, x_BTC: jax.Array, length_B: Lengths, carry: Carry, has_begun: jax.Array
):
    y_BTN = convolve_transposed(x_BTC, layer.conv.weight(), layer.stride, carry)
    return y_BTN + layer.conv.bias[None, None], x_BTC[:, -1:]


@_blank.register
def _(layer: Residual, n_rows: int) -> Carry:
    return _blank(layer.block["1"], n_rows)


@_run.register
def _(layer: Residual, x_BTC: jax.Array, length_B: Lengths, carry: Carry, has_begun: jax.Array):
    y_BTC, carry = _run(layer.block["1"], elu(x_BTC), length_B, carry, has_begun)
    y_BTC, _ = layer.block["3"](elu(y_BTC), length_B)
    return layer.shortcut(x_BTC, length_B)[0] + y_BTC, carry


@_blank.register
def _(layer: LSTM, n_rows: int) -> Carry:
    zero_BC = jnp.zeros((n_rows, layer.lstm["weight_hh_l0"].shape[1]))
    return ((zero_BC, zero_BC),) * layer.n_layers


@_run.register
def _(layer: LSTM, x_BTC: jax.Array, length_B: Lengths, carry: Carry, has_begun: jax.Array):
    return layer.run(x_BTC, carry)
