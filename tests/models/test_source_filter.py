"""The source-filter codec: pitch, pulses and filters against their definitions, and causality."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bark_jax.config import CodecConfig
from bark_jax.models import encodec, source_filter
from bark_jax.models.binding import init_params
from bark_jax.models.source_filter import PITCH_MIDDLE_HZ, Parameters

CFG = CodecConfig(
    kind="source_filter", sample_rate=16_000, width=24, n_blocks=2, latent_dim=6, codebook_size=20,
    n_codebooks=3,
)  # fmt: skip
RATE, STEP = CFG.sample_rate, CFG.hop_length // source_filter.STEPS
KEY = jax.random.key(0)

# As they run everywhere else: every operation by itself would be a program by itself.
decode = jax.jit(functools.partial(encodec.decode, cfg=CFG))
decode_chunk = jax.jit(functools.partial(encodec.decode_chunk, cfg=CFG))
encode = jax.jit(functools.partial(encodec.encode, cfg=CFG, n_codebooks=CFG.n_codebooks))
pitch = jax.jit(functools.partial(source_filter.pitch, cfg=CFG))
synthesize = jax.jit(functools.partial(source_filter.synthesize, cfg=CFG))


def octaves(hertz: float) -> float:
    return float(np.log2(hertz / PITCH_MIDDLE_HZ))


def voice(hertz: float, n_samples: int = 3200) -> np.ndarray:
    """(1, n_samples): twelve harmonics, of which the fourth is the loudest."""
    time_S = np.arange(n_samples) / RATE
    parts = [np.cos(2 * np.pi * k * hertz * time_S) / (1 + abs(k - 4)) for k in range(1, 13)]
    return (0.05 * np.sum(parts, 0)[None]).astype(np.float32)


@pytest.mark.parametrize("hertz", [70, 101, 173.3, 260, 390])
def test_pitch_is_that_of_the_harmonics(hertz):
    found = pitch(voice(hertz))
    assert found.octaves_BP.shape == (1, 3200 // STEP)
    inner = np.asarray(found.octaves_BP[0, 8:-8])
    # a hundredth of an octave is 0.7 %; parabolas through whole samples are that good
    np.testing.assert_allclose(inner, octaves(hertz), atol=0.01)
    assert float(found.similarity_BP[0, 8:-8].min()) > 0.95


def test_silence_and_noise_have_no_pitch():
    noise = 0.1 * np.random.default_rng(0).normal(size=(1, 3200)).astype(np.float32)
    assert float(pitch(noise).similarity_BP.mean()) < 0.5
    assert float(pitch(np.zeros((1, 3200), np.float32)).similarity_BP.max()) == 0


def test_pulses_are_the_sum_of_all_harmonics():
    hertz = 160.0
    steps_BP = jnp.full((1, 50), octaves(hertz))
    pulse_train = jax.jit(source_filter.pulse_train, static_argnums=(1, 2))
    made_BS, cycles_B = pulse_train(steps_BP, STEP, RATE, jnp.zeros(1))
    made_S = made_BS[0]
    assert float(cycles_B[0]) == pytest.approx(50 * STEP * hertz / RATE % 1, abs=1e-3)
    n = int(0.49 * RATE / hertz)
    time_S = np.arange(1, 50 * STEP + 1) / RATE
    wanted_S = sum(np.cos(2 * np.pi * k * hertz * time_S) for k in range(1, n + 1))
    wanted_S *= np.sqrt(2 / n)
    # phases add up in float32: a few 1e-4 cycles of the highest of 49 harmonics at the end
    np.testing.assert_allclose(made_S, wanted_S, atol=0.05)
    assert float(jnp.square(made_S).mean()) == pytest.approx(1, rel=0.02)


def test_filters_have_their_gains_and_minimum_phase():
    size_KF, angle_KF = source_filter._responses(CFG)
    gains_K = np.linspace(0, -4, source_filter.N_BANDS)
    response_F = np.exp((gains_K @ size_KF) + 1j * (gains_K @ angle_KF))
    assert np.log(np.abs(response_F[[0, -1]])) == pytest.approx([0, -4], abs=1e-5)
    impulse_S = np.fft.irfft(response_F)
    energy_S = np.cumsum(np.square(impulse_S))
    zero_phase_S = np.fft.irfft(np.abs(response_F))
    assert energy_S[20] > 0.95 * energy_S[-1]  # early; of zero phase half of it comes last
    assert np.cumsum(np.square(zero_phase_S))[20] < 0.9 * energy_S[-1]


def test_loudness_of_noise_is_the_filters():
    flat = jnp.full((1, 200, source_filter.N_BANDS), np.log(0.1))
    none = jnp.full_like(flat, -20)
    made = Parameters(jnp.zeros((1, 200)), none, flat)
    samples_S = np.asarray(synthesize(made, made.octaves_BP)[0])[0]
    # neighbouring windows overlap with weights w and 1 - w, but hold the same noise
    assert np.sqrt(np.square(samples_S).mean()) == pytest.approx(0.1, rel=0.05)


def test_gradients_reach_the_gains_and_not_the_pitch():
    gains = jnp.full((1, 20, source_filter.N_BANDS), -2.0)

    def loudness(octaves_BP, gains):
        made = Parameters(octaves_BP, gains, gains)
        return jnp.square(synthesize(made, octaves_BP)[0]).sum()

    to_pitch, to_gains = jax.jit(jax.grad(loudness, argnums=(0, 1)))(jnp.zeros((1, 20)), gains)
    assert float(jnp.abs(to_pitch).max()) == 0
    assert float(jnp.abs(to_gains).sum()) > 0 and bool(jnp.isfinite(to_gains).all())


@pytest.fixture(scope="module")
def params():
    return init_params(encodec.EnCodec, CFG, key=KEY)


def test_rows_are_independent_and_the_decoder_is_causal(params):
    rng = np.random.default_rng(1)
    codes_BQT = rng.integers(0, 20, (2, 3, 12)).astype(np.int32)
    both = np.asarray(decode(params, codes_BQT, jnp.array([12, 7])))
    alone = np.asarray(decode(params, codes_BQT[1:, :, :7], jnp.array([7])))
    assert both.shape == (2, 12 * CFG.hop_length) and np.isfinite(both).all()
    assert not both[1, 7 * CFG.hop_length :].any()
    scale = np.abs(both).max()
    # other shapes of the same float32 products
    np.testing.assert_allclose(both[1, : alone.shape[1]], alone[0], atol=1e-3 * scale)
    other = codes_BQT.copy()
    other[:, :, 8:] = 0
    changed = np.asarray(decode(params, other, jnp.array([12, 12])))
    kept = 8 * CFG.hop_length
    np.testing.assert_allclose(changed[0, :kept], both[0, :kept], atol=1e-3 * scale)
    assert np.abs(changed[0, kept:] - both[0, kept:]).max() > 0.01 * scale


def test_codes_do_not_depend_on_what_lies_behind_a_row(params):
    samples = voice(120, 2000)
    longer = np.concatenate([samples, np.full((1, 1000), 0.3, np.float32)], axis=1)
    want = np.asarray(encode(params, samples))
    got = encode(params, longer, jnp.array([2000]))
    assert want.shape == (1, 3, 7)
    np.testing.assert_array_equal(np.asarray(got)[:, :, :7], want)


def test_kinds_of_codecs_are_checked():
    with pytest.raises(ValueError, match=r"codec\.kind='lpc' is not one of"):
        CodecConfig(kind="lpc")


def test_chunks_are_the_whole(params):
    """With what rings, turns and is remembered at their bounds."""
    codes_BQT = np.random.default_rng(2).integers(0, 20, (2, 3, 17)).astype(np.int32)
    whole = np.asarray(decode(params, codes_BQT))
    state, parts = encodec.first_state(CFG, 2), []
    for begin, end in ((0, 8), (8, 9), (9, 17)):
        part = codes_BQT[:, :, begin:end]
        length_B = jnp.full(2, end - begin)
        made, state = decode_chunk(params, part, length_B, state)
        parts.append(np.asarray(made))
    # sums of other lengths: a pulse whose phase is off by 1e-5 cycles changes by a hundredth
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=5e-3 * np.abs(whole).max())
