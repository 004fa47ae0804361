"""A codec that describes speech as its source and its filter, as vocoders do.

The encoder reads mel bands and pitch. The decoder turns latents into a pitch and the gains of two
filters, every quarter of a frame: one shapes a train of pulses at that pitch, the other noise. All
that is learnt happens at the frame rate, so a second of audio costs a tenth of what SEANet's layers
at the sample rate cost. Codes say nothing about phase, which makes them easier to predict.

It fits speech of one person at a time, and nothing else: no music, no second voice.

Axes beyond the package's key: **D** width · **P** steps, `STEPS` per frame · **F** frequencies of a
step's spectrum · **K** gains of a filter, in bands · **E** samples of a step.
Source of the idea: Engel et al. 2020, "DDSP"; minimum phase: Oppenheim & Schafer 1989, section 12.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from bark_jax.config import CodecConfig
from bark_jax.models.seanet import Lengths, matmul

STEPS = 4  # per frame
N_BANDS = 64  # gains of a filter
N_MELS = 80  # bands that the encoder reads
SPECTRUM_S = 0.032  # of a step: longer than what rings in a filter
PITCH_HZ = (60.0, 400.0)
PITCH_MIDDLE_HZ = 120.0
VOICED = 0.5  # similarity of one period with the next from which on a sound has a pitch
FLOOR = 1e-3  # added to magnitudes under a logarithm
QUIET = 1e-6  # mean square below which there is no pitch
NOISE_S = 1.0  # after which the noise repeats
START_GAIN = -5.0  # logarithm; a new decoder is nearly silent


class Pitch(NamedTuple):
    """What repeats in a sound, at each step."""

    octaves_BP: jax.Array  # log2 of the frequency over PITCH_MIDDLE_HZ
    similarity_BP: jax.Array  # of one period with the next, at most 1; 0 in silence


class Parameters(NamedTuple):
    """What the decoder says of each step; gains are logarithms."""

    octaves_BP: jax.Array  # as in `Pitch`
    pulses_BPK: jax.Array
    noise_BPK: jax.Array


class Dense(nnx.Module):
    """A linear layer in full precision, `[out, in]` as all others."""

    def __init__(self, n_in: int, n_out: int, *, scale: float = 1.0, rngs: nnx.Rngs) -> None:
        init = nnx.initializers.normal(scale / math.sqrt(n_in))
        self.weight = nnx.Param(init(rngs.params(), (n_out, n_in)))
        self.bias = nnx.Param(jnp.zeros(n_out))

    def __call__(self, x: jax.Array) -> jax.Array:
        return matmul(x, self.weight[...].T) + jnp.expand_dims(
            self.bias[...], tuple(range(x.ndim - 1))
        )


class Block(nnx.Module):
    """Three neighbouring frames through a hidden layer, added to the one that they describe."""

    def __init__(self, width: int, shifts: tuple[int, ...], *, rngs: nnx.Rngs) -> None:
        self.shifts = shifts  # of the frames read, 0 is the own
        self.gain = nnx.Param(jnp.ones(width))
        self.hidden = Dense(len(shifts) * width, 2 * width, rngs=rngs)
        self.out = Dense(2 * width, width, scale=0.3, rngs=rngs)

    def __call__(self, x_BTD: jax.Array, inside_BT1: jax.Array) -> jax.Array:
        h_BTD = _normalized(x_BTD, self.gain[...]) * inside_BT1
        near = jnp.concatenate([_shifted(h_BTD, shift) for shift in self.shifts], axis=-1)
        return x_BTD + self.out(jax.nn.silu(self.hidden(near)))


class Encoder(nnx.Module):
    """Samples to latents: mel bands and pitch of each half frame, then a few blocks."""

    def __init__(self, cfg: CodecConfig, *, rngs: nnx.Rngs) -> None:
        self.cfg = cfg
        self.first = Dense(2 * (N_MELS + 2), cfg.width, rngs=rngs)
        self.blocks = nnx.List(
            [Block(cfg.width, (-1, 0, 1), rngs=rngs) for _ in range(cfg.n_blocks)]
        )
        self.last = Dense(cfg.width, cfg.latent_dim, rngs=rngs)

    def __call__(self, samples_BS: jax.Array, length_B: Lengths = None) -> jax.Array:
        """Latents (B, ceil(S / hop_length), L); `length_B` in samples."""
        hop = self.cfg.hop_length
        T = -(-samples_BS.shape[1] // hop)
        samples_BS = jnp.pad(samples_BS, ((0, 0), (0, T * hop - samples_BS.shape[1])))
        x_BTD = self.first(_features(samples_BS, self.cfg))
        length_B = jnp.full(len(x_BTD), T * hop) if length_B is None else length_B
        inside_BT1 = _inside(T, -(-length_B // hop))
        for block in self.blocks:
            x_BTD = block(x_BTD, inside_BT1)
        return self.last(x_BTD)


class Decoder(nnx.Module):
    """Latents to samples. A sample depends on no later frame than its own."""

    def __init__(self, cfg: CodecConfig, *, rngs: nnx.Rngs) -> None:
        self.cfg = cfg
        self.first = Dense(cfg.latent_dim, cfg.width, rngs=rngs)
        self.blocks = nnx.List(
            [Block(cfg.width, (-2, -1, 0), rngs=rngs) for _ in range(cfg.n_blocks)]
        )
        self.gain = nnx.Param(jnp.ones(cfg.width))
        self.last = Dense(cfg.width, STEPS * (1 + 2 * N_BANDS), scale=0.3, rngs=rngs)

    def __call__(self, latents_BTL: jax.Array, length_B: Lengths = None) -> jax.Array:
        """Samples (B, T · hop_length); `length_B` in frames."""
        made = self.parameters(latents_BTL, length_B)
        return synthesize(made, made.octaves_BP, self.cfg)

    def parameters(self, latents_BTL: jax.Array, length_B: Lengths = None) -> Parameters:
        B, T, _ = latents_BTL.shape
        length_B = jnp.full(B, T) if length_B is None else length_B
        inside_BT1 = _inside(T, length_B)
        x_BTD = self.first(latents_BTL)
        for block in self.blocks:
            x_BTD = block(x_BTD, inside_BT1)
        out = self.last(_normalized(x_BTD, self.gain[...]))
        out = out.reshape(B, T * STEPS, 1 + 2 * N_BANDS)
        lowest, highest = (math.log2(hz / PITCH_MIDDLE_HZ) for hz in PITCH_HZ)
        return Parameters(
            jnp.clip(out[..., 0], lowest, highest),
            out[..., 1 : 1 + N_BANDS] + START_GAIN,
            out[..., 1 + N_BANDS :] + START_GAIN,
        )


def synthesize(made: Parameters, octaves_BP: jax.Array, cfg: CodecConfig) -> jax.Array:
    """Samples (B, P · step) of pulses at a pitch, and of noise, through the filters of each step.

    Gradients flow into the gains alone.
    """
    E, n_fft = cfg.hop_length // STEPS, _n_fft(cfg)
    B, P = octaves_BP.shape
    pulses_BS = pulse_train(jax.lax.stop_gradient(octaves_BP), E, cfg.sample_rate)
    pulses_BPE = _overlapping(pulses_BS.reshape(B, P, E)) * _window(E)[None, None]
    pulses_BPF = jnp.fft.rfft(pulses_BPE, n_fft)
    noise_RF = _noise(cfg)
    noise_PF = noise_RF[jnp.arange(P) % len(noise_RF)]
    spectrum_BPF = pulses_BPF * _filter(made.pulses_BPK, cfg)
    spectrum_BPF += noise_PF[None] * _filter(made.noise_BPK, cfg)
    ringing_BPS = jnp.fft.irfft(spectrum_BPF, n_fft)
    return _overlap_add(ringing_BPS, E)


def pulse_train(octaves_BP: jax.Array, step: int, sample_rate: int) -> jax.Array:
    """A sum of cosines of all harmonics below half the sample rate, of mean square 1: (B, P·step).

    Args:
      octaves_BP: log2 of the frequency over PITCH_MIDDLE_HZ, of each step.
      step: samples.
    """
    cycles_BP = PITCH_MIDDLE_HZ / sample_rate * jnp.exp2(octaves_BP)  # per sample
    before_BP = jnp.cumsum(step * cycles_BP, axis=1) - step * cycles_BP
    place_E = jnp.arange(1, step + 1, dtype=jnp.float32)
    phase_BPE = before_BP[..., None] % 1 + cycles_BP[..., None] * place_E[None, None]
    phase_BPE = phase_BPE - jnp.round(phase_BPE)  # in cycles, around the pulse
    n_BP1 = jnp.floor(0.49 / cycles_BP)[..., None]  # harmonics
    below_BPE = jnp.sin(jnp.pi * phase_BPE)
    is_top = jnp.abs(below_BPE) < 1e-4
    sum_BPE = jnp.sin(jnp.pi * (2 * n_BP1 + 1) * phase_BPE) / jnp.where(is_top, 1, below_BPE)
    sum_BPE = jnp.where(is_top, n_BP1, (sum_BPE - 1) / 2)
    return (sum_BPE * jnp.sqrt(2 / n_BP1)).reshape(len(octaves_BP), -1)


def pitch(samples_BS: jax.Array, cfg: CodecConfig) -> Pitch:
    """The pitch of clean speech, by the similarity of what lies a period apart.

    Args:
      samples_BS: whole frames.
    """
    hop, rate = cfg.hop_length // 2, cfg.sample_rate
    lowest, highest = (round(rate / hz) for hz in reversed(PITCH_HZ))  # periods [samples]
    W = round(0.03 * rate)
    n_fft = 1 << (W + highest + 1 - 1).bit_length()
    span = W + highest + 2
    before = (span - hop) // 2
    frames_BXS = _frames(samples_BS, span, hop, before)
    head_BXS = frames_BXS[..., :W]
    product = jnp.conj(jnp.fft.rfft(head_BXS, n_fft)) * jnp.fft.rfft(frames_BXS, n_fft)
    products_BXS = jnp.fft.irfft(product, n_fft)[..., : highest + 2]
    sums_BXS = jnp.pad(jnp.cumsum(jnp.square(frames_BXS), -1), ((0, 0), (0, 0), (1, 0)))
    energy_BXS = sums_BXS[..., W : W + highest + 2] - sums_BXS[..., : highest + 2]
    energy_BXS = jnp.maximum(energy_BXS, 0) + QUIET * W
    alike_BXS = products_BXS * jax.lax.rsqrt(energy_BXS[..., :1] * energy_BXS)
    periods_S = jnp.arange(highest + 2, dtype=jnp.float32)
    # a period twice as long fits as well: the shorter one is meant
    favour_S = 0.06 * jnp.log2(jnp.maximum(periods_S, 1) / lowest)
    is_allowed_S = (periods_S >= lowest) & (periods_S <= highest)
    scores_BXS = jnp.where(is_allowed_S[None, None], alike_BXS - favour_S[None, None], -jnp.inf)
    best_BX = jnp.argmax(scores_BXS, -1)
    left, middle, right = (
        jnp.take_along_axis(alike_BXS, (best_BX + i)[..., None], -1)[..., 0] for i in (-1, 0, 1)
    )
    bend = left - 2 * middle + right
    offset_BX = jnp.where(bend < -1e-6, 0.5 * (left - right) / jnp.minimum(bend, -1e-6), 0)
    period_BX = best_BX.astype(jnp.float32) + jnp.clip(offset_BX, -0.5, 0.5)
    octaves_BX = jnp.log2(rate / period_BX / PITCH_MIDDLE_HZ)
    again = STEPS // 2
    return Pitch(jnp.repeat(octaves_BX, again, 1), jnp.repeat(middle, again, 1))


def _features(samples_BS: jax.Array, cfg: CodecConfig) -> jax.Array:
    """What the encoder reads of each frame: (B, T, 2 · (N_MELS + 2))."""
    hop = cfg.hop_length // 2
    window = round(0.025 * cfg.sample_rate)
    frames_BXS = _frames(samples_BS, window, hop, (window - hop) // 2)
    hann_S = np.hanning(window + 1)[:-1]
    hann_S = jnp.asarray(hann_S / np.sqrt(np.square(hann_S).sum()), jnp.float32)
    power = jnp.fft.rfft(frames_BXS * hann_S[None, None], _n_fft(cfg))
    mel_FM = jnp.asarray(_mel_bands(cfg))
    mel_BXM = jnp.sqrt(matmul(jnp.square(power.real) + jnp.square(power.imag), mel_FM))
    found = pitch(samples_BS, cfg)
    alike_BX = found.similarity_BP[:, :: STEPS // 2]
    octaves_BX = jnp.where(alike_BX > VOICED, found.octaves_BP[:, :: STEPS // 2], 0)
    rest_BX2 = jnp.stack([2 * octaves_BX, alike_BX], -1)
    x_BXC = jnp.concatenate([0.4 * (jnp.log(mel_BXM + FLOOR) + 4), rest_BX2], -1)
    B, X, C = x_BXC.shape
    return jax.lax.stop_gradient(x_BXC.reshape(B, X // 2, 2 * C))


def _n_fft(cfg: CodecConfig) -> int:
    return 1 << (round(SPECTRUM_S * cfg.sample_rate) - 1).bit_length()


def _normalized(x_BTD: jax.Array, gain_D: jax.Array) -> jax.Array:
    mean = x_BTD.mean(-1, keepdims=True)
    variance = jnp.square(x_BTD - mean).mean(-1, keepdims=True)
    return (x_BTD - mean) * jax.lax.rsqrt(variance + 1e-5) * gain_D[None, None]


def _inside(T: int, length_B: jax.Array) -> jax.Array:
    """1 for the frames of each row, 0 past its end: (B, T, 1)."""
    return (jnp.arange(T)[None] < length_B[:, None]).astype(jnp.float32)[..., None]


def _shifted(x_BTD: jax.Array, shift: int) -> jax.Array:
    """`x_BTD[:, t + shift]` at t; zeros past the ends."""
    if shift == 0:
        return x_BTD
    pad = ((0, 0), (max(-shift, 0), max(shift, 0)), (0, 0))
    kept = x_BTD[:, max(shift, 0) : x_BTD.shape[1] + min(shift, 0)]
    return jnp.pad(kept, pad)


def _frames(samples_BS: jax.Array, span: int, hop: int, before: int) -> jax.Array:
    """Frames (B, S / hop, span); the first begins `before` samples before the first sample."""
    B, S = samples_BS.shape
    n_hops = -(-span // hop)
    blocks = jnp.pad(samples_BS, ((0, 0), (before, n_hops * hop - before)))
    blocks = blocks.reshape(B, S // hop + n_hops, hop)
    parts = [blocks[:, i : i + S // hop] for i in range(n_hops)]
    return jnp.concatenate(parts, -1)[..., :span]


def _overlapping(steps_BPE: jax.Array) -> jax.Array:
    """Each step with the next: (B, P, 2E)."""
    return jnp.concatenate([steps_BPE, _shifted(steps_BPE, 1)], -1)


def _overlap_add(ringing_BPS: jax.Array, step: int) -> jax.Array:
    """Sums what rings from every step on, cut at the last step's end: (B, P · step)."""
    B, P, S = ringing_BPS.shape
    n = -(-S // step)
    parts = jnp.pad(ringing_BPS, ((0, 0), (0, 0), (0, n * step - S))).reshape(B, P, n, step)
    total_BPE = parts[:, :, 0]
    for i in range(1, n):
        total_BPE += _shifted(parts[:, :, i], -i)
    return total_BPE.reshape(B, P * step)


def _filter(gains_BPK: jax.Array, cfg: CodecConfig) -> jax.Array:
    """The complex response (B, P, F) of minimum phase whose logarithm has these gains."""
    size_KF, angle_KF = _responses(cfg)
    size_BPF = jnp.exp(matmul(gains_BPK, jnp.asarray(size_KF)))
    angle_BPF = matmul(gains_BPK, jnp.asarray(angle_KF))
    return jax.lax.complex(size_BPF * jnp.cos(angle_BPF), size_BPF * jnp.sin(angle_BPF))


@functools.cache
def _responses(cfg: CodecConfig) -> tuple[np.ndarray, np.ndarray]:
    """Log magnitude and phase (K, F) that a gain of 1 in one band makes, of minimum phase.

    Between the middles of the bands, which are even on the mel scale, the logarithm is linear.
    """
    n_fft = _n_fft(cfg)
    hz_F = np.fft.rfftfreq(n_fft, 1 / cfg.sample_rate)
    middles_K = _from_mel(np.linspace(0, _to_mel(cfg.sample_rate / 2), N_BANDS))
    size_KF = np.stack([np.interp(hz_F, middles_K, row) for row in np.eye(N_BANDS)])
    cepstrum = np.fft.irfft(size_KF, n_fft)
    cepstrum[:, 1 : n_fft // 2] *= 2
    cepstrum[:, n_fft // 2 + 1 :] = 0
    response = np.fft.rfft(cepstrum, n_fft)
    return size_KF.astype(np.float32), response.imag.astype(np.float32)


@functools.cache
def _mel_bands(cfg: CodecConfig) -> np.ndarray:
    """Weights (F, M) of triangular bands, each summing to 1."""
    hz_F = np.fft.rfftfreq(_n_fft(cfg), 1 / cfg.sample_rate)
    edges = _from_mel(np.linspace(0, _to_mel(cfg.sample_rate / 2), N_MELS + 2))
    rows = [np.interp(hz_F, edges[i : i + 3], (0, 1, 0)) for i in range(N_MELS)]
    # a band narrower than the distance of two frequencies takes the nearest
    nearest = np.abs(hz_F[None] - edges[1:-1, None]) == np.abs(hz_F[None] - edges[1:-1, None]).min(
        1, keepdims=True
    )
    weights_MF = np.where(np.sum(rows, 1, keepdims=True) > 0.5, rows, nearest)
    return (weights_MF / weights_MF.sum(1, keepdims=True)).T.astype(np.float32)


def _to_mel(hz: float) -> float:
    return 2595 * math.log10(1 + hz / 700)


def _from_mel(mel: np.ndarray) -> np.ndarray:
    return 700 * (10 ** (mel / 2595) - 1)


def _window(step: int) -> jax.Array:
    """Of two steps, whose halves add up to 1."""
    return jnp.asarray(np.hanning(2 * step + 1)[:-1], jnp.float32)


@functools.cache
def _noise_table(cfg: CodecConfig) -> np.ndarray:
    step = cfg.hop_length // STEPS
    n_steps = round(NOISE_S * cfg.sample_rate / step)
    steps = np.random.default_rng(0).standard_normal((n_steps, step))
    pairs = np.concatenate([steps, np.roll(steps, -1, 0)], 1) * np.hanning(2 * step + 1)[:-1]
    return np.fft.rfft(pairs, _n_fft(cfg)).astype(np.complex64)


def _noise(cfg: CodecConfig) -> jax.Array:
    """Spectra (R, F) of windowed noise of mean square 1; step i + 1 goes on where step i ends."""
    return jnp.asarray(_noise_table(cfg))
