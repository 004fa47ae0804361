"""The codec's training against NumPy and librosa, and against what inference makes of its codes."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from bark_jax.config import CodecConfig
from bark_jax.data.records import Record
from bark_jax.models import encodec
from bark_jax.params import Params, flatten, unflatten
from bark_jax.stages import codec
from bark_jax.training.codec import codebooks
from bark_jax.training.codec.codebooks import CodebookSettings
from bark_jax.training.codec.discriminator import (
    AdversarialSettings,
    adversarial_losses,
    new_discriminators,
)
from bark_jax.training.codec.spectral import FLOOR, SpectralSettings, magnitudes, spectral_distance
from bark_jax.training.run.optimizer import OptimizerSettings
from bark_jax.training.run.step import Recipe, train_step
from bark_jax.training.run.trainable import Trainable
from bark_jax.training.tasks.codec import CodecTask
from bark_jax.training.tasks.make import make_task
from tests import tiny

RATE = 1000
CODEC = CodecConfig(
    sample_rate=RATE, n_filters=4, ratios=(5,), latent_dim=6, n_lstm=1, kernel_size=3,
    codebook_size=20, n_codebooks=5,
)  # fmt: skip
CONFIG = dataclasses.replace(tiny.CONFIG, codec=CODEC)
TASK = make_task("codec", CONFIG, crop_s=0.3, spectral={"windows": (64, 128)})
assert isinstance(TASK, CodecTask)
KEY, END = jax.random.key(0), jnp.float32(1)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def tones(n_rows: int, n_samples: int, seed: int = 0) -> np.ndarray:
    """Rows (B, S) of one loud tone each."""
    rng = np.random.default_rng(seed)
    hertz_B1 = rng.uniform(50, 200, (n_rows, 1))
    phase_B1 = rng.uniform(0, 6, (n_rows, 1))
    return (0.5 * np.sin(2 * np.pi * hertz_B1 * np.arange(n_samples) / RATE + phase_B1)).astype(
        np.float32
    )


def test_magnitudes_are_librosas_over_the_root_of_the_windows_energy():
    samples_BS = random(2, 700)
    window = librosa.filters.get_window("hann", 128)
    for row_S, got_XF in zip(samples_BS, magnitudes(jnp.asarray(samples_BS), 128), strict=True):
        expected_FX = np.abs(librosa.stft(row_S, n_fft=128, hop_length=32, center=False))
        expected_XF = expected_FX.T / np.sqrt(np.square(window).sum())
        # values up to 4, sums of 128 float32 products; the sequence's last hop may be incomplete
        assert got_XF.shape == (18, 65)
        np.testing.assert_allclose(got_XF, expected_XF[:18], atol=5e-6)


def test_distance_is_that_of_librosas_mel_spectra():
    a_BS, b_BS = random(2, 700), 0.1 * random(2, 700, seed=1)
    settings = SpectralSettings(windows=(128,), log_mel=1, mel=0.5, stft=0.25)
    got_B = spectral_distance(jnp.asarray(a_BS), jnp.asarray(b_BS), RATE, settings)
    bands_MF = librosa.filters.mel(sr=RATE, n_fft=128, n_mels=16, norm=None)
    bands_MF = bands_MF / bands_MF.sum(1, keepdims=True)
    energy = np.square(librosa.filters.get_window("hann", 128)).sum()
    for i in range(2):
        a_FX, b_FX = (
            np.abs(librosa.stft(row[i], n_fft=128, hop_length=32, center=False))[:, :18]
            / np.sqrt(energy)
            for row in (a_BS, b_BS)
        )
        a_MX, b_MX = bands_MF @ a_FX, bands_MF @ b_FX
        log = lambda x: np.log(x + FLOOR)  # noqa: E731
        expected = np.abs(log(a_MX) - log(b_MX)).mean() + 0.5 * np.abs(a_MX - b_MX).mean()
        expected += 0.25 * np.abs(log(a_FX) - log(b_FX)).mean()
        # logarithms of float32 sums, near the floor relative errors of 1e-4
        np.testing.assert_allclose(got_B[i], expected, rtol=1e-4)


def test_the_gradient_of_silence_is_finite():
    silence_BS = jnp.zeros((1, 256))
    settings = SpectralSettings(windows=(64,), stft=1)
    loss = lambda a_BS: spectral_distance(a_BS, silence_BS + 0.1, RATE, settings).sum()  # noqa: E731
    gradient_BS = jax.jit(jax.grad(loss))(silence_BS)
    assert np.all(np.isfinite(gradient_BS))


def quantizer_params(n_codebooks: int = 3, n_codes: int = 7, width: int = 4) -> Params:
    embed_QVL = random(n_codebooks, n_codes, width, seed=2)
    size_QV = np.random.default_rng(3).uniform(1, 4, (n_codebooks, n_codes)).astype(np.float32)
    return {
        "embed": jnp.asarray(embed_QVL),
        "embed_avg": jnp.asarray(embed_QVL * size_QV[..., None]),
        "cluster_size": jnp.asarray(size_QV),
        "inited": jnp.ones(n_codebooks),
    }


def test_quantized_latents_pass_gradients_straight_and_commit():
    params, latents_BTL, slope_BTL = quantizer_params(), random(2, 5, 4), random(2, 5, 4, seed=4)
    n_codebooks_B = jnp.asarray([3, 1])

    def loss(latents_BTL: jax.Array):
        found = codebooks.quantize(latents_BTL, n_codebooks_B, params["embed"])
        return (found.latents_BTL * slope_BTL).sum() + found.commitment_BT.sum(), found

    gradient_BTL, found = jax.grad(loss, has_aux=True)(jnp.asarray(latents_BTL))
    embed_QVL = np.asarray(params["embed"])
    for b, n_codebooks in enumerate((3, 1)):
        rest_TL, used_TL, commitment_TL = latents_BTL[b], 0, 0
        for q in range(3):
            distance_TV = np.square(rest_TL[:, None] - embed_QVL[q][None]).sum(-1)
            np.testing.assert_array_equal(found.codes_BQT[b, q], distance_TV.argmin(-1))
            chosen_TL = embed_QVL[q][distance_TV.argmin(-1)]
            rest_TL = rest_TL - chosen_TL
            if q < n_codebooks:
                used_TL, commitment_TL = used_TL + chosen_TL, commitment_TL + 2 * rest_TL / 4
        # a few additions of numbers of size 1
        np.testing.assert_allclose(found.latents_BTL[b], used_TL, atol=1e-6)
        np.testing.assert_allclose(gradient_BTL[b], slope_BTL[b] + commitment_TL, atol=1e-6)


def test_codes_follow_the_mean_of_the_latents_that_choose_them():
    params, latents_BTL = quantizer_params(), random(2, 30, 4)
    settings = CodebookSettings(decay=0.9, dead_share=0)
    weight_BT = np.ones((2, 30), np.float32)
    weight_BT[1, 20:] = 0
    codes_BQT = codebooks.quantize(latents_BTL, jnp.asarray([3, 3]), params["embed"]).codes_BQT
    new, n_chosen_Q = codebooks.follow(
        jnp.asarray(latents_BTL), codes_BQT, jnp.asarray(weight_BT), params, settings, KEY
    )
    rest_NL = latents_BTL.reshape(-1, 4).astype(np.float64)
    for q in range(3):
        code_N = np.asarray(codes_BQT[:, q]).reshape(-1)
        counts = weight_BT.reshape(-1) > 0
        assert n_chosen_Q[q] == len(np.unique(code_N[counts]))
        for code in range(7):
            chosen_NL = rest_NL[(code_N == code) & counts]
            size = 0.9 * params["cluster_size"][q, code] + 0.1 * len(chosen_NL)
            total_L = 0.9 * params["embed_avg"][q, code] + 0.1 * chosen_NL.sum(0)
            # float32 sums of some ten numbers
            np.testing.assert_allclose(new["cluster_size"][q, code], size, rtol=1e-5)
            np.testing.assert_allclose(new["embed_avg"][q, code], total_L, atol=1e-5)
            np.testing.assert_allclose(new["embed"][q, code], total_L / size, atol=1e-5)
        rest_NL = rest_NL - np.asarray(params["embed"][q])[code_N]


def test_a_dead_code_starts_again_at_a_latent_that_counts():
    params, latents_BTL = quantizer_params(), random(2, 30, 4)
    far = params["embed"].at[0, 5].set(1e3)  # so far off that no latent chooses it
    params |= {"embed": far, "embed_avg": far, "cluster_size": jnp.ones((3, 7)).at[0, 5].set(0.01)}
    weight_BT = np.zeros((2, 30), np.float32)
    weight_BT[0, 3:6] = 1
    codes_BQT = codebooks.quantize(latents_BTL, jnp.asarray([3, 3]), params["embed"]).codes_BQT
    settings = CodebookSettings(decay=0.99, dead_share=0.1)
    new, _ = codebooks.follow(
        jnp.asarray(latents_BTL), codes_BQT, jnp.asarray(weight_BT), params, settings, KEY
    )
    distance_T = np.abs(latents_BTL[0, 3:6] - np.asarray(new["embed"][0, 5])).max(-1)
    assert distance_T.min() < 1e-6, "one division and one product"
    # its averages are its own: it stays alive, and where it is, for a while
    assert new["cluster_size"][0, 5] > 0.5
    again, _ = codebooks.follow(
        jnp.asarray(latents_BTL), codes_BQT, jnp.zeros((2, 30)), new, settings, KEY
    )
    np.testing.assert_allclose(again["embed"][0, 5], new["embed"][0, 5], rtol=1e-5)


def test_only_codebooks_that_were_never_set_start_at_the_latents():
    params, latents_BTL = quantizer_params(), random(1, 40, 4)
    params["inited"] = jnp.asarray([1.0, 0, 0])
    new = codebooks.start(jnp.asarray(latents_BTL), jnp.ones((1, 40)), params, KEY)
    np.testing.assert_array_equal(new["inited"], 1)
    np.testing.assert_array_equal(new["embed"][0], params["embed"][0])
    np.testing.assert_array_equal(new["embed_avg"][0], params["embed_avg"][0])
    code_BT = encodec.nearest(jnp.asarray(latents_BTL), params["embed"][0])
    rest_NL = (latents_BTL - np.asarray(params["embed"][0])[np.asarray(code_BT)])[0]
    distance_VN = np.abs(np.asarray(new["embed"][1])[:, None] - rest_NL[None]).max(-1)
    assert distance_VN.min(1).max() < 0.1, "a latent and a hundredth of their spread"


def batch_of(samples_BS: np.ndarray, n_samples_B: list[int] | None = None) -> dict[str, jax.Array]:
    B, S = samples_BS.shape
    lengths_B = [S] * B if n_samples_B is None else n_samples_B
    return {"samples": jnp.asarray(samples_BS), "n_samples": jnp.asarray(lengths_B, jnp.int32)}


@pytest.fixture(scope="module")
def params() -> Params:
    """A new codec whose signals have a size of about 1."""
    flat = flatten(tiny.random_params(encodec.EnCodec, CODEC, seed=1, std=0.3))
    rng = np.random.default_rng(0)
    for name, leaf in flat.items():
        if name.endswith("weight_v"):
            flat[name] = jnp.asarray(rng.normal(size=leaf.shape), jnp.float32)
        elif name.endswith("weight_g"):
            flat[name] = jnp.ones_like(leaf)
    flat["quantizer.inited"] = jnp.ones(CODEC.n_codebooks)
    return unflatten(flat)


@pytest.fixture(scope="module")
def evaluate() -> Callable[[Params, dict[str, jax.Array]], dict[str, jax.Array]]:
    task = TASK.for_evaluation()
    return jax.jit(lambda params, batch: task.loss(params, batch, None, END).sums)


def test_what_is_evaluated_is_what_inference_plays(params, evaluate):
    samples_BS = tones(2, TASK.n_frames * CODEC.hop_length)
    sums = evaluate(params, batch_of(samples_BS))
    static = {"cfg": CODEC, "execution": tiny.F32}
    codes_BQT = codec.encode(params, samples_BS, **static, n_codebooks=5)
    played_BS = jnp.stack(codec.decode_rows(params, list(np.asarray(codes_BQT)), **static))
    spectral_B = spectral_distance(played_BS, jnp.asarray(samples_BS), RATE, TASK.spectral)
    waveform = np.abs(np.asarray(played_BS) - samples_BS).mean()
    # the same sums, compiled apart
    mean = {name: float(total[0] / total[1]) for name, total in sums.items()}
    assert mean["spectral"] == pytest.approx(float(spectral_B.mean()), rel=1e-4)
    assert mean["waveform"] == pytest.approx(waveform, rel=1e-4)
    coarse_BS = jnp.stack(codec.decode_rows(params, list(np.asarray(codes_BQT)[:, :3]), **static))
    spectral_B = spectral_distance(coarse_BS, jnp.asarray(samples_BS), RATE, TASK.spectral)
    assert mean["spectral_coarse"] == pytest.approx(float(spectral_B.mean()), rel=1e-4)
    weighted = mean["spectral"] + 2 * mean["waveform"] + 0.05 * mean["commitment"]
    assert mean["loss"] == pytest.approx(weighted, rel=1e-5)


def test_two_batches_sum_up_to_one_and_what_is_behind_a_row_does_not_count(params, evaluate):
    samples_BS = tones(2, TASK.n_frames * CODEC.hop_length)
    noisy_BS = samples_BS.copy()
    samples_BS[1, 150:] = 0
    noisy_BS[1, 150:] = 0
    short = evaluate(params, batch_of(samples_BS, [300, 150]))
    assert short["loss"][1] == 60 + 30, "frames"
    parts = [evaluate(params, batch_of(samples_BS[[i, i]], [300 - 150 * i] * 2)) for i in (0, 1)]
    for name, total in short.items():
        both = (parts[0][name] + parts[1][name]) / 2
        np.testing.assert_allclose(total, both, rtol=1e-5, err_msg=name)


def test_examples_are_pieces_of_recordings():
    audio = np.arange(1, 701, dtype=np.float32)
    empty = np.zeros(0, np.int32)
    record = Record("r", "", "", empty, empty, empty, audio)
    rng = np.random.default_rng(0)
    firsts = set()
    for _ in range(20):
        example = TASK.example(record, None, rng)
        first = int(example["samples"][0])
        firsts.add(first)
        np.testing.assert_array_equal(example["samples"], audio[first - 1 : first + 299])
        assert example["n_samples"] == 300
    assert len(firsts) > 10
    short = TASK.example(dataclasses.replace(record, audio=audio[:100]), None, rng)
    assert short["n_samples"] == 100 and not np.any(short["samples"][100:])
    np.testing.assert_array_equal(short["samples"][:100], audio[:100])
    with pytest.raises(ValueError, match="record r has no audio"):
        TASK.example(dataclasses.replace(record, audio=None), None, rng)


def test_impossible_settings_are_refused_by_name():
    for options, message in (
        ({"crop_s": 0.1, "spectral": {"windows": (256,)}}, "crop_s=0.1"),
        ({"coarse_share": 0.9, "any_share": 0.2}, "coarse_share=0.9 and any_share=0.2"),
        ({"start_codebooks": 1.0}, "start_codebooks=1.0"),
        ({"commitment": -1.0}, "commitment=-1.0"),
        ({"codebooks": {"decay": 1.0}}, "codebooks.decay=1.0"),
        ({"spectral": {"windows": (30,)}}, r"spectral.windows=\(30,\)"),
        ({"adversarial": {"weight": -1.0}}, "adversarial.weight=-1.0"),
        ({"adversarial": {"weight": 1.0}}, "the longest window alone has 2.048 s"),
        ({"spectral": {"colour": 1}}, "SpectralSettings has no field"),
    ):
        with pytest.raises(ValueError, match=message):
            make_task("codec", CONFIG, **{"crop_s": 0.3, "spectral": {"windows": (64,)}, **options})


def test_training_learns_and_sets_its_codebooks():
    """A new codec: without codebooks at first, then with codes that follow the latents."""
    params = TASK.init(jax.random.key(3, impl="unsafe_rbg"))
    params["quantizer"]["inited"] = jnp.zeros(CODEC.n_codebooks)
    assert not TASK.is_trained("quantizer.embed") and TASK.is_trained("encoder.layers.0.conv.bias")

    @jax.jit
    def step(params: Params, momentum: Params, samples_BS: jax.Array, key, progress):
        def loss(params: Params):
            found = TASK.loss(params, batch_of(samples_BS), key, progress)
            return found.sums["loss"][0] / found.sums["loss"][1], found

        gradients, found = jax.grad(loss, has_aux=True)(params)
        momentum = jax.tree.map(lambda m, g: 0.9 * m + g, momentum, gradients)
        moved = jax.tree.map(lambda p, m: p - 3e-3 * m, params, momentum)
        return moved | found.updates, momentum, found.sums, gradients["quantizer"]

    momentum = jax.tree.map(jnp.zeros_like, params)
    losses, n_steps = [], 120  # after 60 the last bit of a product decides
    for i in range(n_steps):
        samples_BS = tones(4, TASK.n_frames * CODEC.hop_length, seed=i)
        key, progress = jax.random.fold_in(KEY, i), jnp.float32(i / n_steps)
        before = params["quantizer"]
        params, momentum, sums, to_codes = step(params, momentum, samples_BS, key, progress)
        losses.append(float(sums["loss"][0] / sums["loss"][1]))
        assert all(not np.any(leaf) for leaf in jax.tree.leaves(to_codes)), "no gradients"
        is_set = i / n_steps >= TASK.start_codebooks
        assert np.all(np.asarray(params["quantizer"]["inited"]) == is_set)
        has_moved = np.any(np.asarray(before["embed"]) != np.asarray(params["quantizer"]["embed"]))
        assert has_moved == is_set
    assert np.mean(losses[-5:]) < 0.6 * losses[0], losses


def test_each_side_of_the_contest_moves_only_itself_and_wins_when_alone():
    settings = AdversarialSettings(weight=1, features=1, windows=(32,), n_filters=2)
    judges = new_discriminators(settings, jax.random.key(1, impl="unsafe_rbg"))
    recorded_BS, decoded_BS = jnp.asarray(tones(2, 200)), jnp.asarray(0.3 * random(2, 200))

    @jax.jit
    def gradients(judges: Params, decoded_BS: jax.Array):
        def total(judges: Params, decoded_BS: jax.Array, weights: jax.Array):
            losses = adversarial_losses(judges, decoded_BS, recorded_BS, settings)
            stacked_3B = jnp.stack([losses[name] for name in sorted(losses)])
            return (weights[:, None] * stacked_3B).mean(1).sum(), stacked_3B.mean(1)

        return [
            jax.grad(total, argnums=(0, 1), has_aux=True)(judges, decoded_BS, weights)
            for weights in jnp.eye(3)
        ]

    def is_moved(tree: Params) -> bool:
        return any(np.any(np.asarray(leaf) != 0) for leaf in jax.tree.leaves(tree))

    (adversarial, before), (discriminator, _), (features, _) = gradients(judges, decoded_BS)
    assert is_moved(discriminator[0]) and not is_moved(discriminator[1])
    assert is_moved(adversarial[1]) and not is_moved(adversarial[0])
    assert is_moved(features[1]) and not is_moved(features[0])

    for _ in range(60):
        by_judges = gradients(judges, decoded_BS)[1][0][0]
        judges = jax.tree.map(lambda p, g: p - 0.2 * g, judges, by_judges)
    found = gradients(judges, decoded_BS)[0][1]
    assert found[1] < 0.9 * before[1], "the judges tell them apart"
    for _ in range(20):
        by_decoded = gradients(judges, decoded_BS)[0][0][1]
        decoded_BS = decoded_BS - 0.02 * jnp.sign(by_decoded)
    assert gradients(judges, decoded_BS)[0][1][0] < 0.9 * found[0], "taken for a recording"


def test_discriminators_are_trained_along_and_never_exported(params):
    judged = dataclasses.replace(
        TASK, adversarial=AdversarialSettings(weight=1, windows=(32,), n_filters=2)
    )
    recipe = Recipe(judged, OptimizerSettings(), Trainable(), ema=0.9)
    state = recipe.init(params, KEY)
    assert {"encoder", "decoder", "discriminator"} == state.trainable.keys() == state.ema.keys()
    assert recipe.params(state).keys() == params.keys()
    batch = batch_of(tones(2, 300))
    both = state.trainable | state.frozen
    found = jax.eval_shape(judged.loss, both, batch, KEY, END).sums
    assert {"discriminator", "adversarial", "features"} <= found.keys()
    found = jax.eval_shape(judged.loss, recipe.params(state), batch, KEY, END).sums
    assert "adversarial" not in found


def test_a_source_filter_codec_learns_pitch_and_spectrum():
    """A few steps on one tone: both losses fall, and evaluation plays the codec's own pitch."""
    cfg = CodecConfig(
        kind="source_filter", sample_rate=RATE, ratios=(5, 4, 2), width=16, n_blocks=1,
        latent_dim=6, codebook_size=20, n_codebooks=5,
    )  # fmt: skip
    config = dataclasses.replace(tiny.CONFIG, codec=cfg)
    task = make_task("codec", config, crop_s=0.4, spectral={"windows": (64, 128)}, waveform=0.0)
    recipe = Recipe(task, OptimizerSettings(learning_rate=1e-2, warmup_steps=0), Trainable(), 0.0)
    batch = {"samples": jnp.asarray(tones(2, 400)), "n_samples": jnp.full(2, 400)}
    state = recipe.init(task.init(KEY), KEY)
    step = jax.jit(lambda s, b: train_step(recipe, s, b, jnp.float32(0.5)))
    micro = jax.tree.map(lambda leaf: leaf[None], batch)
    seen = []
    for _ in range(30):
        state, metrics = step(state, micro)
        seen.append((float(metrics["spectral"]), float(metrics["pitch"])))
    assert seen[-1][0] < 0.8 * seen[1][0] and seen[-1][1] < 0.5 * seen[0][1]
    evaluate = jax.jit(lambda params: task.loss(params, batch, None, END).sums)
    sums = evaluate(recipe.params(state))
    assert "pitch" not in sums and bool(jnp.isfinite(sums["loss"]).all())
