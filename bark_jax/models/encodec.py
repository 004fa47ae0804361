"""EnCodec: audio to codes and back, as pure functions over a dict of parameters, to be jitted.

Always float32 in full precision, whatever dtype the parameters have. Decoding uses only
`params["decoder"]` and `params["quantizer"]`, encoding only `params["encoder"]` and
`params["quantizer"]`.
Source: facebookresearch/encodec @0e2d0ae, encodec/model.py and encodec/quantization; the 24 kHz
model, which neither normalises loudness nor cuts the audio into segments.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from bark_jax.config import CodecConfig
from bark_jax.models import seanet, seanet_chunks, source_filter
from bark_jax.models.binding import M, abstract_params, bind
from bark_jax.params import Params
from bark_jax.runtime.sharding import split_rows

PARTS = {"seanet": seanet, "source_filter": source_filter}  # the modules with Encoder and Decoder

ChunkState = seanet_chunks.ChunkState | source_filter.ChunkState


class Quantizer(nnx.Module):
    """Residual codebooks: each quantizes what those before it leave of a latent. No gradients.

    A new quantizer has random codes, so that every code sounds different; `inited` = 0 says that
    training still has to set them from data.
    """

    def __init__(self, cfg: CodecConfig, *, rngs: nnx.Rngs) -> None:
        shape = (cfg.n_codebooks, cfg.codebook_size, cfg.latent_dim)
        embed_QVL = jax.random.normal(rngs.params(), shape)
        self.embed = nnx.Variable(embed_QVL)
        # for training only: moving averages of how often a code is chosen, and of its latents
        self.cluster_size = nnx.Variable(jnp.zeros(shape[:2]))
        self.embed_avg = nnx.Variable(embed_QVL)
        self.inited = nnx.Variable(jnp.zeros(shape[0]))

    def decode(self, codes_BQT: jax.Array) -> jax.Array:
        """Sum of the chosen vectors of the first Q codebooks: latents (B, T, L)."""
        embed_QVL = self.embed[...]
        return sum(
            (embed_QVL[q][codes_BQT[:, q]] for q in range(1, codes_BQT.shape[1])),
            start=embed_QVL[0][codes_BQT[:, 0]],
        )

    def encode(self, latents_BTL: jax.Array, n_codebooks: int) -> jax.Array:
        """Nearest codes (B, Q, T) int32, codebook by codebook; the lowest id among equals."""

        def step(rest_BTL: jax.Array, embed_VL: jax.Array):
            code_BT = nearest(rest_BTL, embed_VL)
            return rest_BTL - embed_VL[code_BT], code_BT

        _, codes_QBT = jax.lax.scan(step, latents_BTL, self.embed[...][:n_codebooks])
        return codes_QBT.transpose(1, 0, 2)


def nearest(latents_BTL: jax.Array, embed_VL: jax.Array) -> jax.Array:
    """The nearest code of one codebook, int32 (B, T); the lowest id among equals."""
    products_BTV = seanet.matmul(latents_BTL, embed_VL.T)
    norms_BT1 = jnp.square(latents_BTL).sum(-1, keepdims=True)
    norms_11V = jnp.square(embed_VL).sum(-1)[None, None]
    distance_BTV = norms_BT1 - 2 * products_BTV + norms_11V
    return jnp.argmin(distance_BTV, axis=-1).astype(jnp.int32)


class EnCodec(nnx.Module):
    """The whole codec. Training binds this one and calls its three parts itself."""

    def __init__(self, cfg: CodecConfig, *, rngs: nnx.Rngs) -> None:
        self.encoder = PARTS[cfg.kind].Encoder(cfg, rngs=rngs)
        self.quantizer = Quantizer(cfg, rngs=rngs)
        self.decoder = PARTS[cfg.kind].Decoder(cfg, rngs=rngs)


def decode(
    params: Params, codes_BQT: jax.Array, length_B: jax.Array | None = None, *, cfg: CodecConfig
) -> jax.Array:
    """Turns codes into audio.

    Args:
      codes_BQT: int32 in [0, cfg.codebook_size), of the first Q codebooks; values past a row's
        length do not matter.
      length_B: int32, frames of each row, 1 … T; all T if not given.
    Returns:
      samples_BS: float32, S = T · cfg.hop_length, not clipped; zero past a row's length. A row's
        audio does not depend on T or on the other rows.
    """
    B, _, T = codes_BQT.shape
    if length_B is None:
        length_B = jnp.full(B, T)
    latents_BTL = _bind(Quantizer, cfg, params["quantizer"]).decode(split_rows(codes_BQT))
    samples_BS = _bind(PARTS[cfg.kind].Decoder, cfg, params["decoder"])(latents_BTL, length_B)
    inside_BS = jnp.arange(samples_BS.shape[1])[None] < length_B[:, None] * cfg.hop_length
    return jnp.where(inside_BS, samples_BS, 0)


@functools.cache
def first_state(cfg: CodecConfig, n_rows: int) -> ChunkState:
    """What `decode_chunk` takes before the first chunk; arrays on the host."""
    if cfg.kind == "source_filter":
        with jax.ensure_compile_time_eval():
            return jax.tree.map(np.asarray, source_filter.first_state(cfg, n_rows))

    def make(params: Params) -> ChunkState:
        return seanet_chunks.first_state(_bind(seanet.Decoder, cfg, params), n_rows)

    abstract = jax.eval_shape(make, abstract_params(seanet.Decoder, cfg))
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), abstract)


def decode_chunk(
    params: Params,
    codes_BQT: jax.Array,
    length_B: jax.Array,
    state: ChunkState,
    *,
    cfg: CodecConfig,
) -> tuple[jax.Array, ChunkState]:
    """Turns the next T frames of every row into audio; all chunks together are `decode`'s samples.

    Args:
      codes_BQT: as in `decode`; the first chunk has T ≥ cfg.kernel_size.
      length_B: int32, frames of each row in this chunk: T, but for its last one.
      state: from `first_state`, then from the chunk before.
    Returns:
      samples_BS, S = T · cfg.hop_length, of which a row's first length · hop_length count; and
      the state for the next chunk.
    """
    latents_BTL = _bind(Quantizer, cfg, params["quantizer"]).decode(split_rows(codes_BQT))
    if isinstance(state, source_filter.ChunkState):
        decoder = _bind(source_filter.Decoder, cfg, params["decoder"])
        return decoder.chunk(latents_BTL, length_B, state)
    decoder = _bind(seanet.Decoder, cfg, params["decoder"])
    return seanet_chunks.decode_chunk(decoder, latents_BTL, length_B, state)


def encode_latents(
    params: Params, samples_BS: jax.Array, length_B: jax.Array | None = None, *, cfg: CodecConfig
) -> jax.Array:
    """Turns audio at cfg.sample_rate into latents (B, ceil(S / hop_length), L), not quantized.

    Args:
      samples_BS: float32, mono.
      length_B: int32, samples of each row, 1 … S; all S if not given. Only the first
        ceil(length / hop_length) frames of a row are valid; they do not depend on S or on the
        other rows.
    """
    samples_BS = samples_BS.astype(jnp.float32)
    if length_B is not None:  # what a convolution multiplies by zero must be finite
        inside_BS = jnp.arange(samples_BS.shape[1])[None] < length_B[:, None]
        samples_BS = jnp.where(inside_BS, samples_BS, 0)
    return _bind(PARTS[cfg.kind].Encoder, cfg, params["encoder"])(samples_BS, length_B)


def quantize(
    params: Params, latents_BTL: jax.Array, *, cfg: CodecConfig, n_codebooks: int
) -> jax.Array:
    """Codes (B, Q, T) int32 of latents, in the first `n_codebooks` codebooks."""
    return _bind(Quantizer, cfg, params["quantizer"]).encode(latents_BTL, n_codebooks)


def encode(
    params: Params,
    samples_BS: jax.Array,
    length_B: jax.Array | None = None,
    *,
    cfg: CodecConfig,
    n_codebooks: int,
) -> jax.Array:
    """Turns audio into codes (B, Q, ceil(S / hop_length)) int32; see `encode_latents`."""
    latents_BTL = encode_latents(params, samples_BS, length_B, cfg=cfg)
    return quantize(params, latents_BTL, cfg=cfg, n_codebooks=n_codebooks)


def _bind(make: type[M], cfg: CodecConfig, params: Params) -> M:
    return bind(make, cfg, params=jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params))
