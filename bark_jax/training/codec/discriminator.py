"""The adversarial half of codec training: does a spectrogram belong to a recording?

One small network per window length. Axes: **X** frames of a spectrum · **F** frequencies ·
**C** and **N** channels. Source: facebookresearch/encodec @0e2d0ae, encodec/msstftd.py.
Differs: without weight norm.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from flax import nnx

from bark_jax.models.binding import bind, init_params
from bark_jax.params import Params
from bark_jax.training.codec.spectral import complex_spectra

DILATIONS = (1, 2, 4)  # in time, of the layers that halve the frequencies
SLOPE = 0.2  # of the activation below 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdversarialSettings:
    """Weights of the discriminators' losses; without discriminators if both are 0."""

    weight: float = 0.0  # of the generator's hinge loss
    features: float = 0.0  # of the distance between the layers' activations, relative to their size
    windows: tuple[int, ...] = (2048, 1024, 512)
    n_filters: int = 32

    def __post_init__(self) -> None:
        for name in ("weight", "features"):
            if getattr(self, name) < 0:
                raise ValueError(f"adversarial.{name}={getattr(self, name)} is negative")
        if not self.windows or any(window < 32 or window % 4 for window in self.windows):
            raise ValueError(f"adversarial.windows={self.windows}: want multiples of 4 from 32 on")
        if self.n_filters < 1:
            raise ValueError(f"adversarial.n_filters={self.n_filters} is not positive")

    @property
    def is_on(self) -> bool:
        return self.weight > 0 or self.features > 0


class Conv2d(nnx.Module):
    """Convolution over frames and frequencies, whose number only the stride changes."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        kernel: tuple[int, int],
        stride: int = 1,
        dilation: int = 1,
        *,
        rngs: nnx.Rngs,
    ) -> None:
        self.stride, self.dilation = stride, dilation
        std = 1 / math.sqrt(n_in * math.prod(kernel))
        self.weight = nnx.Param(std * jax.random.normal(rngs.params(), (n_out, n_in, *kernel)))
        self.bias = nnx.Param(jnp.zeros(n_out))

    def __call__(self, x_BXFC: jax.Array) -> jax.Array:
        height, width = self.weight[...].shape[2:]
        around = (height - 1) * self.dilation // 2, (width - 1) // 2
        y_BXFN = jax.lax.conv_general_dilated(
            x_BXFC,
            self.weight[...],
            (1, self.stride),
            [(n, n) for n in around],
            rhs_dilation=(self.dilation, 1),
            dimension_numbers=("NHWC", "OIHW", "NHWC"),
            precision=jax.lax.Precision.HIGHEST,
        )
        return y_BXFN + self.bias[None, None, None]


class StftDiscriminator(nnx.Module):
    """Scores spectrograms of one window length."""

    def __init__(self, n_filters: int, *, rngs: nnx.Rngs) -> None:
        n = n_filters
        layers = [Conv2d(2, n, (3, 9), rngs=rngs)]
        layers += [Conv2d(n, n, (3, 9), 2, dilation, rngs=rngs) for dilation in DILATIONS]
        layers += [Conv2d(n, n, (3, 3), rngs=rngs)]
        self.convs = nnx.List(layers)
        self.conv_post = Conv2d(n, 1, (3, 3), rngs=rngs)

    def __call__(self, spectra_BXF: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
        """Scores (B, X, frequencies / 8), above 0 for "a recording", and all activations."""
        x_BXFC = jnp.stack([spectra_BXF.real, spectra_BXF.imag], axis=-1)
        features = []
        for conv in self.convs:
            x_BXFC = jax.nn.leaky_relu(conv(x_BXFC), SLOPE)
            features.append(x_BXFC)
        return self.conv_post(x_BXFC)[..., 0], features


def new_discriminators(settings: AdversarialSettings, key: jax.Array) -> Params:
    """Parameters by window, `{"2048": …}`; {} where the settings want none."""
    if not settings.is_on:
        return {}
    return {
        str(window): init_params(
            StftDiscriminator, settings.n_filters, key=jax.random.fold_in(key, window)
        )
        for window in settings.windows
    }


def adversarial_losses(
    params: Params, decoded_BS: jax.Array, recorded_BS: jax.Array, settings: AdversarialSettings
) -> dict[str, jax.Array]:
    """Losses (B,), means over the windows, each with gradients for one side only.

    Returns:
      `discriminator`: hinge loss of the discriminators; its gradient reaches only them.
      `adversarial`, `features`: the decoder's; their gradient reaches only the decoded audio.
    """
    names = ("discriminator", "adversarial", "features")
    totals = {name: jnp.zeros(len(decoded_BS)) for name in names}
    for window in settings.windows:
        own = params[str(window)]
        judge = bind(StftDiscriminator, settings.n_filters, params=own)
        still = bind(StftDiscriminator, settings.n_filters, params=jax.lax.stop_gradient(own))
        decoded_BXF = complex_spectra(decoded_BS, window)
        on_recorded, recorded = judge(complex_spectra(recorded_BS, window))
        on_decoded, _ = judge(jax.lax.stop_gradient(decoded_BXF))
        totals["discriminator"] += _mean(jax.nn.relu(1 - on_recorded))
        totals["discriminator"] += _mean(jax.nn.relu(1 + on_decoded))
        opinion, decoded = still(decoded_BXF)
        totals["adversarial"] += _mean(jax.nn.relu(1 - opinion))
        for a, b in zip(decoded, jax.lax.stop_gradient(recorded), strict=True):
            distance_B = _mean(jnp.abs(a - b)) / jnp.maximum(_mean(jnp.abs(b)), 1e-6)
            totals["features"] += distance_B / len(recorded)
    return {name: total_B / len(settings.windows) for name, total_B in totals.items()}


def _mean(x: jax.Array) -> jax.Array:
    """Over all axes but the first."""
    return x.mean(tuple(range(1, x.ndim)))
