"""A codec that describes speech as its source and its filter, as vocoders do.

The encoder reads mel bands and pitch. The decoder turns latents into a pitch and the gains of two
filters, every quarter of a frame: one shapes a train of pulses at that pitch, the other noise. All
that is learnt happens at the frame rate; SEANet's costly layers are those at the sample rate. Codes
say nothing about phase, which makes them easier to predict.

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
NOTHING = -40.0  # a gain of nothing that is heard
REACH = 2  # frames that a block reads before or after its own


class Pitch(NamedTuple):
    """What repeats in a sound, at each step."""

    octaves_BP: jax.Array  # log2 of the frequency over PITCH_MIDDLE_HZ
    similarity_BP: jax.Array  # of one period with the next, at most 1; 0 in silence


class Parameters(NamedTuple):
    """What the decoder says of each step; gains are logarithms."""

    octaves_BP: jax.Array  # as in `Pitch`
    pulses_BPK: jax.Array
    noise_BPK: jax.Array


class ChunkState(NamedTuple):
    """What a chunk of a row needs of the chunk before."""

    near: tuple[jax.Array, ...]  # of each block: the last frames that it read (B, REACH, D)
    cycles_B: jax.Array  # of the pulses, at the end
    pulses_B1K: jax.Array  # gains of the last step, whose window reaches into the next chunk
    noise_B1K: jax.Array
    ringing_BS: jax.Array  # what still rings, (B, n_fft + step)
    n_steps: jax.Array  # int32 [], done


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

    def __call__(
        self, x_BTD: jax.Array, inside_BT1: jax.Array, before_BED: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """New features of the frames, and the last frames read, for a chunk that follows.

        Args:
          before_BED: the last REACH frames that the chunk before read; None at a row's beginning.
        """
        h_BTD = _normalized(x_BTD, self.gain[...]) * inside_BT1
        B, T, D = h_BTD.shape
        before_BED = jnp.zeros((B, REACH, D)) if before_BED is None else before_BED
        around_BTD = jnp.concatenate([before_BED, h_BTD, jnp.zeros((B, REACH, D))], axis=1)
        near = [around_BTD[:, REACH + shift : REACH + shift + T] for shift in self.shifts]
        made_BTD = self.out(jax.nn.silu(self.hidden(jnp.concatenate(near, axis=-1))))
        return x_BTD + made_BTD, around_BTD[:, T : T + REACH]


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
            x_BTD, _ = block(x_BTD, inside_BT1)
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
        return self.chunk(latents_BTL, length_B, first_state(self.cfg, len(latents_BTL)))[0]

    def chunk(
        self, latents_BTL: jax.Array, length_B: Lengths, state: ChunkState
    ) -> tuple[jax.Array, ChunkState]:
        """Samples of the next T frames, and the state for those after them."""
        made, near = self._parameters(latents_BTL, length_B, state.near)
        samples_BS, state = synthesize(made, made.octaves_BP, self.cfg, state)
        return samples_BS, state._replace(near=near)

    def parameters(self, latents_BTL: jax.Array, length_B: Lengths = None) -> Parameters:
        """What is to sound at each step of whole rows."""
        near = first_state(self.cfg, len(latents_BTL)).near
        return self._parameters(latents_BTL, length_B, near)[0]

    def _parameters(
        self, latents_BTL: jax.Array, length_B: Lengths, near: tuple[jax.Array, ...]
    ) -> tuple[Parameters, tuple[jax.Array, ...]]:
        B, T, _ = latents_BTL.shape
        inside_BT1 = _inside(T, jnp.full(B, T) if length_B is None else length_B)
        x_BTD = self.first(latents_BTL)
        read = []
        for block, before_BED in zip(self.blocks, near, strict=True):
            x_BTD, last_BED = block(x_BTD, inside_BT1, before_BED)
            read.append(last_BED)
        out = self.last(_normalized(x_BTD, self.gain[...]))
        out = out.reshape(B, T * STEPS, 1 + 2 * N_BANDS)
        lowest, highest = (math.log2(hz / PITCH_MIDDLE_HZ) for hz in PITCH_HZ)
        made = Parameters(
            jnp.clip(out[..., 0], lowest, highest),
            out[..., 1 : 1 + N_BANDS] + START_GAIN,
            out[..., 1 + N_BANDS :] + START_GAIN,
        )
        return made, tuple(read)


def first_state(cfg: CodecConfig, n_rows: int) -> ChunkState:
    """Before a row's first chunk: silence."""
    silence_B1K = jnp.full((n_rows, 1, N_BANDS), NOTHING)
    return ChunkState(
        near=tuple(jnp.zeros((n_rows, REACH, cfg.width)) for _ in range(cfg.n_blocks)),
        cycles_B=jnp.zeros(n_rows),
        pulses_B1K=silence_B1K,
        noise_B1K=silence_B1K,
        ringing_BS=jnp.zeros((n_rows, _n_fft(cfg) + cfg.hop_length // STEPS)),
        n_steps=jnp.int32(0),
    )


def synthesize(
    made: Parameters, octaves_BP: jax.Array, cfg: CodecConfig, state: ChunkState | None = None
) -> tuple[jax.Array, ChunkState]:
    """Samples (B, P · step) of pulses at a pitch, and of noise, through the filters of each step.

    A step's window covers the step and the next one. At a chunk's end the next one is not there
    yet: the chunk that follows begins with the other half of that window. Gradients flow into the
    gains alone.
    """
    E, n_fft = cfg.hop_length // STEPS, _n_fft(cfg)
    B, P = octaves_BP.shape
    state = first_state(cfg, B) if state is None else state
    octaves_BP = jax.lax.stop_gradient(octaves_BP)
    pulses_BS, cycles_B = pulse_train(octaves_BP, E, cfg.sample_rate, state.cycles_B)
    pulses_BPE = jnp.pad(pulses_BS.reshape(B, P, E), ((0, 0), (1, 1), (0, 0)))
    pairs_BPE = jnp.concatenate([pulses_BPE[:, :-1], pulses_BPE[:, 1:]], axis=-1)
    pulses_BPF = jnp.fft.rfft(pairs_BPE * _window(E)[None, None], n_fft)
    # windows -1 … P - 1: of the first one only the later half is new, of the last one the earlier
    first_RF, second_RF = (jnp.asarray(table) for table in _noise_tables(cfg))
    at_P = (state.n_steps + jnp.arange(-1, P)) % len(first_RF)
    is_new_P1 = (jnp.arange(-1, P) >= 0)[:, None]
    is_whole_P1 = (jnp.arange(-1, P) < P - 1)[:, None]
    noise_PF = jnp.where(is_new_P1, first_RF[at_P], 0) + jnp.where(is_whole_P1, second_RF[at_P], 0)
    pulse_gains_BPK = jnp.concatenate([state.pulses_B1K, made.pulses_BPK], axis=1)
    noise_gains_BPK = jnp.concatenate([state.noise_B1K, made.noise_BPK], axis=1)
    spectrum_BPF = pulses_BPF * _filter(pulse_gains_BPK, cfg)
    spectrum_BPF += noise_PF[None] * _filter(noise_gains_BPK, cfg)
    ringing_BPS = jnp.fft.irfft(spectrum_BPF, n_fft)
    all_BS = _overlap_add(ringing_BPS, E)  # from one step before the chunk on
    all_BS = all_BS.at[:, E : 2 * E + n_fft].add(state.ringing_BS)
    return all_BS[:, E : (P + 1) * E], ChunkState(
        near=state.near,
        cycles_B=cycles_B,
        pulses_B1K=pulse_gains_BPK[:, -1:],
        noise_B1K=noise_gains_BPK[:, -1:],
        ringing_BS=all_BS[:, (P + 1) * E : (P + 2) * E + n_fft],
        n_steps=state.n_steps + P,
    )


def pulse_train(
    octaves_BP: jax.Array, step: int, sample_rate: int, cycles_B: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """A sum of cosines of all harmonics below half the sample rate, of mean square 1: (B, P·step).

    Args:
      octaves_BP: log2 of the frequency over PITCH_MIDDLE_HZ, of each step.
      step: samples.
      cycles_B: passed before the first sample; those after the last one are returned as well.
    """
    cycles_BP = PITCH_MIDDLE_HZ / sample_rate * jnp.exp2(octaves_BP)  # per sample
    passed_BP = cycles_B[:, None] + jnp.cumsum(step * cycles_BP, axis=1)
    before_BP = (passed_BP - step * cycles_BP) % 1
    place_E = jnp.arange(1, step + 1, dtype=jnp.float32)
    phase_BPE = before_BP[..., None] + cycles_BP[..., None] * place_E[None, None]
    phase_BPE = phase_BPE - jnp.round(phase_BPE)  # in cycles, around the pulse
    n_BP1 = jnp.floor(0.49 / cycles_BP)[..., None]  # harmonics
    below_BPE = jnp.sin(jnp.pi * phase_BPE)
    is_top = jnp.abs(below_BPE) < 1e-4
    sum_BPE = jnp.sin(jnp.pi * (2 * n_BP1 + 1) * phase_BPE) / jnp.where(is_top, 1, below_BPE)
    sum_BPE = jnp.where(is_top, n_BP1, (sum_BPE - 1) / 2)
    pulses_BS = (sum_BPE * jnp.sqrt(2 / n_BP1)).reshape(len(octaves_BP), -1)
    return pulses_BS, passed_BP[:, -1] % 1


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


def _frames(samples_BS: jax.Array, span: int, hop: int, before: int) -> jax.Array:
    """Frames (B, S / hop, span); the first begins `before` samples before the first sample."""
    B, S = samples_BS.shape
    n_hops = -(-span // hop)
    blocks = jnp.pad(samples_BS, ((0, 0), (before, n_hops * hop - before)))
    blocks = blocks.reshape(B, S // hop + n_hops, hop)
    parts = [blocks[:, i : i + S // hop] for i in range(n_hops)]
    return jnp.concatenate(parts, -1)[..., :span]


def _overlap_add(ringing_BPS: jax.Array, step: int) -> jax.Array:
    """Sums what rings from every step on: (B, (P + 1) · step + S), zeros at its end."""
    B, P, S = ringing_BPS.shape
    n = -(-S // step)
    parts = jnp.pad(ringing_BPS, ((0, 0), (0, 0), (0, n * step - S))).reshape(B, P, n, step)
    total_BPE = jnp.zeros((B, P + n + 1, step))
    for i in range(n):
        total_BPE = total_BPE.at[:, i : i + P].add(parts[:, :, i])
    return total_BPE.reshape(B, -1)[:, : (P + 1) * step + S]


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
def _noise_tables(cfg: CodecConfig) -> tuple[np.ndarray, np.ndarray]:
    """Spectra (R, F) of the two halves of windows over noise of mean square 1.

    Window i covers the noise's steps i and i + 1.
    """
    step = cfg.hop_length // STEPS
    n_steps = round(NOISE_S * cfg.sample_rate / step)
    noise = np.random.default_rng(0).standard_normal((n_steps, step))
    window = np.hanning(2 * step + 1)[:-1]
    first, second = np.zeros((2, n_steps, 2 * step))
    first[:, :step] = noise * window[:step]
    second[:, step:] = np.roll(noise, -1, 0) * window[step:]
    spectra = (np.fft.rfft(half, _n_fft(cfg)).astype(np.complex64) for half in (first, second))
    return next(spectra), next(spectra)
