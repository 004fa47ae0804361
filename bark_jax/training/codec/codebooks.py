"""Training of the codec's codebooks: moving averages instead of gradients.

A code moves to the mean of the latents that choose it; a code that hardly any latent chooses starts
again at a random one. Source: facebookresearch/encodec @0e2d0ae, encodec/quantization/core_vq.py.
Differs: dead codes are measured against the mean code, so that one threshold serves every batch
size; a code that starts again also resets its averages (there the next step undoes the restart);
codebooks start at random latents, not at their k-means centres.
"""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from bark_jax.models.encodec import nearest
from bark_jax.models.seanet import matmul
from bark_jax.params import Params

SPREAD = 0.01  # noise on codes that start at a latent, as a share of the latents' std


@dataclasses.dataclass(frozen=True, kw_only=True)
class CodebookSettings:
    """How the codebooks follow the latents."""

    decay: float = 0.99  # of the moving averages
    dead_share: float = 0.1  # codes chosen less often than this share of the mean start again

    def __post_init__(self) -> None:
        for name in ("decay", "dead_share"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"codebooks.{name}={getattr(self, name)} is not in [0, 1)")


@flax.struct.dataclass
class Quantized:
    """What the codebooks make of a batch of latents."""

    latents_BTL: jax.Array  # sums of codes; their gradient goes straight to the latents
    commitment_BT: jax.Array  # mean squared distance from the codes, summed over the codebooks
    codes_BQT: jax.Array  # int32, of all codebooks, however many the row uses


def quantize(latents_BTL: jax.Array, n_codebooks_B: jax.Array, embed_QVL: jax.Array) -> Quantized:
    """Quantizes each row with its first `n_codebooks_B` (int32, 1 … Q) of the codebooks."""
    embed_QVL = jax.lax.stop_gradient(embed_QVL)

    def one(carry: tuple[jax.Array, ...], codebook: tuple[jax.Array, jax.Array]):
        rest_BTL, used_BTL, commitment_BT = carry
        q, embed_VL = codebook
        is_used_B1 = (q < n_codebooks_B)[:, None]
        code_BT = nearest(jax.lax.stop_gradient(rest_BTL), embed_VL)
        chosen_BTL = embed_VL[code_BT]
        rest_BTL = rest_BTL - chosen_BTL
        used_BTL = used_BTL + jnp.where(is_used_B1[..., None], chosen_BTL, 0)
        distance_BT = jnp.square(rest_BTL).mean(-1)
        commitment_BT = commitment_BT + jnp.where(is_used_B1, distance_BT, 0)
        return (rest_BTL, used_BTL, commitment_BT), code_BT

    carry = (latents_BTL, jnp.zeros_like(latents_BTL), jnp.zeros(latents_BTL.shape[:2]))
    codebooks = (jnp.arange(len(embed_QVL)), embed_QVL)
    (_, used_BTL, commitment_BT), codes_QBT = jax.lax.scan(one, carry, codebooks)
    straight_BTL = latents_BTL + jax.lax.stop_gradient(used_BTL - latents_BTL)
    return Quantized(straight_BTL, commitment_BT, codes_QBT.transpose(1, 0, 2))


def start(latents_BTL: jax.Array, weight_BT: jax.Array, params: Params, key: jax.Array) -> Params:
    """The quantizer's parameters, with every codebook set that was never set (`inited` = 0).

    Its codes become random latents of the batch, minus what the codebooks before it quantize. Codes
    that start at the same latent, where there are fewer latents than codes, differ by a little
    noise.
    """

    def one(carry: tuple[jax.Array, jax.Array], codebook: Params):
        rest_BTL, key = carry
        key, own, noise = jax.random.split(key, 3)
        is_set = codebook["inited"] > 0
        random_VL = _draw(rest_BTL, weight_BT, codebook["embed"].shape[0], own)
        spread_1L = SPREAD * rest_BTL.std((0, 1))[None]
        random_VL += spread_1L * jax.random.normal(noise, random_VL.shape)
        embed_VL = jnp.where(is_set, codebook["embed"], random_VL)
        new = {
            "embed": embed_VL,
            "embed_avg": jnp.where(is_set, codebook["embed_avg"], embed_VL),
            "cluster_size": jnp.where(is_set, codebook["cluster_size"], 1),
            "inited": jnp.ones_like(codebook["inited"]),
        }
        return (rest_BTL - embed_VL[nearest(rest_BTL, embed_VL)], key), new

    return jax.lax.scan(one, (latents_BTL, key), params)[1]


def follow(
    latents_BTL: jax.Array,
    codes_BQT: jax.Array,
    weight_BT: jax.Array,
    params: Params,
    settings: CodebookSettings,
    key: jax.Array,
) -> tuple[Params, jax.Array]:
    """One step of the moving averages; dead codes start again.

    Args:
      codes_BQT: what the latents were quantized to with `params`.
      weight_BT: 1 for latents that count, 0 for those past a row's end.
    Returns:
      The quantizer's new parameters, and how many of each codebook's codes were chosen (Q,).
    """
    mix = lambda old, new: settings.decay * old + (1 - settings.decay) * new  # noqa: E731

    def one(carry: tuple[jax.Array, jax.Array], codebook: Any):
        (rest_BTL, key), (code_BT, codebook) = carry, codebook
        key, own = jax.random.split(key)
        n_codes, L = codebook["embed"].shape
        chosen_BTV = jax.nn.one_hot(code_BT, n_codes) * weight_BT[..., None]
        count_V = chosen_BTV.sum((0, 1))
        total_VL = matmul(chosen_BTV.reshape(-1, n_codes).T, rest_BTL.reshape(-1, L))
        size_V = mix(codebook["cluster_size"], count_V)
        sum_VL = mix(codebook["embed_avg"], total_VL)
        mean_size = size_V.mean()
        is_dead_V = size_V < settings.dead_share * mean_size
        random_VL = _draw(rest_BTL, weight_BT, n_codes, own)
        sum_VL = jnp.where(is_dead_V[:, None], mean_size * random_VL, sum_VL)
        size_V = jnp.where(is_dead_V, mean_size, size_V)
        new = {
            "embed": sum_VL / jnp.maximum(size_V, 1e-9)[:, None],
            "embed_avg": sum_VL,
            "cluster_size": size_V,
            "inited": codebook["inited"],
        }
        return (rest_BTL - codebook["embed"][code_BT], key), (new, (count_V > 0).sum())

    codebooks = (codes_BQT.transpose(1, 0, 2), params)
    _, (new, n_chosen_Q) = jax.lax.scan(one, (latents_BTL, key), codebooks)
    return new, n_chosen_Q.astype(jnp.float32)


def _draw(latents_BTL: jax.Array, weight_BT: jax.Array, n_codes: int, key: jax.Array) -> jax.Array:
    """Draws `n_codes` of the latents that count: (n_codes, L)."""
    ends_N = jnp.cumsum(weight_BT)
    points_V = jax.random.uniform(key, (n_codes,)) * ends_N[-1]
    picked_V = jnp.searchsorted(ends_N, points_V, side="right")
    return latents_BTL.reshape(-1, latents_BTL.shape[-1])[picked_V]
