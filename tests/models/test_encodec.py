"""The codec against its own promises: lengths, independent rows, causality, nearest codes."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bark_jax.config import CodecConfig
from bark_jax.models import encodec, seanet
from bark_jax.models.binding import abstract_params, bind, init_params
from bark_jax.params import Params, flatten, unflatten
from bark_jax.stages import codec
from tests import tiny

# the functions that speaking compiles, and those that only tests and training look at alone
decode_rows, encode, encode_rows = (
    functools.partial(function, execution=tiny.F32)
    for function in (codec.decode_rows, codec.encode, codec.encode_rows)
)
decode = jax.jit(encodec.decode, static_argnames="cfg")
encode_latents = jax.jit(encodec.encode_latents, static_argnames="cfg")
quantize = jax.jit(encodec.quantize, static_argnames=("cfg", "n_codebooks"))

# no two sizes alike; the small ratios make one frame shorter than every padding there is
ODD = CodecConfig(
    n_filters=6, ratios=(2, 5), latent_dim=9, n_lstm=1, codebook_size=13, n_codebooks=4,
    kernel_size=5,
)  # fmt: skip
HOP = ODD.hop_length
# Sums of the same numbers, grouped otherwise for other shapes; signals are of size 1.
ROUNDING = 2e-6


@functools.cache
def odd_params(cfg: CodecConfig = ODD) -> Params:
    """Random values, biases included, that keep signals at about size 1."""
    rng = np.random.default_rng(0)

    def draw(name: str, shape: tuple[int, ...]) -> jax.Array:
        if name.endswith("weight_g"):
            values = rng.uniform(0.8, 1.2, shape)
        else:
            values = rng.normal(0, 0.2 if "lstm" in name or "bias" in name else 1, shape)
        return jnp.asarray(values, jnp.float32)

    abstract = flatten(abstract_params(encodec.EnCodec, cfg))
    return unflatten({name: draw(name, leaf.shape) for name, leaf in abstract.items()})


def random_codes(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, ODD.codebook_size, shape, dtype=np.int32)


def random_samples(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def count(params: Params) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_parameter_counts_of_the_24_khz_model():
    params = abstract_params(encodec.EnCodec, CodecConfig())
    assert count(params["encoder"]) == 7_425_792
    assert count(params["decoder"]) == 7_426_018
    assert count(params["encoder"]["layers"]["13"]["lstm"]) == 4_202_496
    assert count(params["decoder"]["layers"]["1"]["lstm"]) == 4_202_496
    shapes = {name: leaf.shape for name, leaf in params["quantizer"].items()}
    assert shapes == {
        "embed": (32, 1024, 128),
        "embed_avg": (32, 1024, 128),
        "cluster_size": (32, 1024),
        "inited": (32,),
    }


def test_names_and_layouts_are_the_checkpoints():
    shapes = {name: leaf.shape for name, leaf in flatten(odd_params()).items()}
    assert shapes["encoder.layers.0.conv.weight_v"] == (6, 1, 5)
    assert shapes["encoder.layers.1.block.1.conv.weight_v"] == (3, 6, 3)
    assert shapes["encoder.layers.1.block.3.conv.bias"] == (6,)
    assert shapes["encoder.layers.3.conv.weight_v"] == (12, 6, 10)
    assert shapes["encoder.layers.7.lstm.weight_ih_l0"] == (96, 24)
    assert shapes["decoder.layers.3.conv.weight_v"] == (24, 12, 4), "transposed: (in, out, k)"
    assert shapes["decoder.layers.3.conv.weight_g"] == (24, 1, 1), "one length per input channel"
    assert shapes["decoder.layers.4.shortcut.conv.weight_g"] == (12, 1, 1)
    assert {name.split(".")[2] for name in shapes if name.startswith("decoder")} == set(
        "013467"
    ) | {"9"}


def test_without_lstm_the_indices_close_up():
    cfg = CodecConfig(n_filters=2, ratios=(2,), latent_dim=3, n_lstm=0, codebook_size=4)
    params = abstract_params(encodec.EnCodec, cfg)
    assert set(params["decoder"]["layers"]) == {"0", "2", "3", "5"}
    assert set(params["encoder"]["layers"]) == {"0", "1", "3", "5"}


def test_lengths():
    for n_frames in (1, 2, 7):
        shape = jax.eval_shape(
            functools.partial(encodec.decode, cfg=ODD), odd_params(), random_codes(3, 2, n_frames)
        ).shape
        assert shape == (3, HOP * n_frames)
    full = CodecConfig()
    params = abstract_params(encodec.EnCodec, full)
    encode_full = functools.partial(encodec.encode, cfg=full, n_codebooks=8)
    for n_samples, n_frames in {1: 1, 319: 1, 320: 1, 321: 2, 24_001: 76}.items():
        samples_BS = jax.ShapeDtypeStruct((2, n_samples), np.float32)
        assert jax.eval_shape(encode_full, params, samples_BS).shape == (2, 8, n_frames)


@pytest.mark.parametrize("parallel_rows", [1, 2, 16])
def test_a_padded_row_decodes_as_alone(parallel_rows):
    """Lengths around every padding (4 frames; 2 steps, two of which make a frame) and beyond."""
    rows = [random_codes(4, n, seed=n) for n in (1, 2, 5, 21)]
    execution = tiny.execution(parallel_rows=parallel_rows)
    together = codec.decode_rows(odd_params(), rows, cfg=ODD, execution=execution)
    for row, samples in zip(rows, together, strict=True):
        alone_BS = decode(odd_params(), row[None], cfg=ODD)
        assert samples.shape == (row.shape[1] * HOP,) and samples.dtype == np.float32
        np.testing.assert_allclose(samples, alone_BS[0], atol=ROUNDING, rtol=0)


def test_a_padded_row_encodes_as_alone():
    rows = [random_samples(n, seed=n) for n in (1, 5, 6, 57)]
    together = encode_rows(odd_params(), rows, cfg=ODD, n_codebooks=3)
    padded_BS = np.full((len(rows), 80), np.nan, np.float32)  # what is behind a row is not read
    for i, row in enumerate(rows):
        padded_BS[i, : len(row)] = row
    length_B = np.array([len(row) for row in rows], np.int32)
    padded_BTL = encode_latents(odd_params(), padded_BS, length_B, cfg=ODD)
    for row, codes, latents_TL in zip(rows, together, padded_BTL, strict=True):
        n_frames = -(-len(row) // HOP)
        alone_BTL = encode_latents(odd_params(), row[None], cfg=ODD)
        assert alone_BTL.shape == (1, n_frames, ODD.latent_dim)
        np.testing.assert_allclose(latents_TL[:n_frames], alone_BTL[0], atol=ROUNDING, rtol=0)
        alone = quantize(odd_params(), alone_BTL, cfg=ODD, n_codebooks=3)[0]
        assert codes.shape == (3, n_frames) and codes.dtype == np.int32
        np.testing.assert_array_equal(codes, alone)


def test_nothing_behind_a_row_matters_and_its_audio_ends_in_zeros():
    codes = random_codes(2, 4, 12)
    length_B = np.array([3, 12], np.int32)
    other = codes.copy()
    other[0, :, 3:] = ODD.codebook_size + 5  # not even codes
    samples_BS = decode(odd_params(), codes, length_B, cfg=ODD)
    np.testing.assert_array_equal(samples_BS, decode(odd_params(), other, length_B, cfg=ODD))
    assert np.all(samples_BS[0, 3 * HOP :] == 0) and np.any(samples_BS[1, 3 * HOP :] != 0)


def test_one_program_serves_all_lengths(compilations):
    before = compilations()
    for n_frames in (3, codec.CHUNK, 2 * codec.CHUNK + 1):
        decode_rows(odd_params(), [random_codes(3, n_frames)], cfg=ODD)
    assert compilations() == before + 1


@pytest.mark.parametrize("chunk", [5, 8])
def test_chunks_together_are_the_whole(chunk):
    """Rows that end at, before and after the bounds of chunks, and inside the mirrored start."""
    length_B = np.array([1, 2, 4, 5, 8, 9, 21], np.int32)
    codes_BQT = random_codes(len(length_B), 4, 21)
    stream = codec.DecodeStream(ODD, tiny.F32, len(length_B), chunk)
    samples_BS = stream.decode(odd_params(), codes_BQT, length_B, is_end=True)
    whole_BS = decode(odd_params(), codes_BQT, length_B, cfg=ODD)
    assert samples_BS.shape == whole_BS.shape
    for samples, whole, length in zip(samples_BS, whole_BS, length_B, strict=True):
        n = length * HOP
        np.testing.assert_allclose(samples[:n], whole[:n], atol=ROUNDING, rtol=0)


def test_codes_that_come_bit_by_bit_give_the_same_bits():
    codes = random_codes(3, 2 * codec.CHUNK + 9)
    (expected,) = decode_rows(odd_params(), [codes], cfg=ODD)
    rng = np.random.default_rng(0)
    for _ in range(3):
        bounds = np.sort(rng.integers(0, codes.shape[1], 6))
        stream = codec.DecodeStream(ODD, tiny.F32)
        parts = [
            stream.decode(odd_params(), part[None], is_end=False)[0]
            for part in np.split(codes, bounds, axis=1)
        ]
        assert all(len(part) % (codec.CHUNK * HOP) == 0 for part in parts)
        parts.append(stream.decode(odd_params(), codes[None, :, :0], is_end=True)[0])
        np.testing.assert_array_equal(np.concatenate(parts), expected)


def test_decoder_is_causal_but_for_the_mirrored_start():
    """Frame t hears frames up to t; the first convolution mirrors frames 1 … 4 before frame 0."""
    n_frames, mirrored = 10, ODD.kernel_size - 1
    decoder = bind(seanet.Decoder, ODD, params=odd_params()["decoder"])
    latents_BTL = jnp.asarray(random_samples(1, n_frames, ODD.latent_dim))

    def frames(latents_BTL: jax.Array) -> jax.Array:
        return decoder(latents_BTL).reshape(n_frames, HOP).sum(-1)

    by_latent = jax.jit(jax.jacrev(frames))(latents_BTL)[:, 0]  # (frame, frame heard, L)
    is_heard = np.any(np.asarray(by_latent) != 0, axis=-1)
    expected = np.tril(np.ones((n_frames, n_frames), bool))
    expected[:, : mirrored + 1] = True
    np.testing.assert_array_equal(is_heard, expected)


def test_encoder_is_causal():
    """Latent t hears no sample of later frames, once the mirrored start is behind it."""
    n_frames = 8
    encoder = bind(seanet.Encoder, ODD, params=odd_params()["encoder"])

    def sums(samples_BS: jax.Array) -> jax.Array:
        return encoder(samples_BS)[0].sum(-1)

    by_sample = jax.jit(jax.jacrev(sums))(jnp.asarray(random_samples(1, n_frames * HOP)))[:, 0]
    is_heard = np.any(np.asarray(by_sample).reshape(n_frames, n_frames, HOP) != 0, axis=-1)
    start = ODD.kernel_size  # the last convolution mirrors latents 1 … 4
    np.testing.assert_array_equal(is_heard[start:], np.tril(np.ones_like(is_heard))[start:])


def test_weight_norm_separates_length_and_direction():
    rng = np.random.default_rng(0)
    norm = seanet.WeightNorm((4, 3, 5), 3, 1.0, rngs=nnx.Rngs(0))
    direction = rng.normal(size=(4, 3, 5)).astype(np.float32)
    norm.weight_v[...] = jnp.asarray(direction * 7)
    norm.weight_g[...] = jnp.asarray([[[1.0]], [[2.0]], [[-3.0]], [[0.0]]])
    weight = np.asarray(norm.weight())
    # float32 rounding of unit-sized numbers
    lengths = np.sqrt(np.square(weight).sum((1, 2)))
    np.testing.assert_allclose(lengths, [1, 2, 3, 0], rtol=1e-6)
    unit = direction / np.sqrt(np.square(direction).sum((1, 2), keepdims=True))
    np.testing.assert_allclose(weight[2], -3 * unit[2], rtol=1e-5)


def test_a_new_codec_brings_speech_to_size_and_back():
    """The default initialisation of most libraries loses a factor of about 2 per layer."""
    cfg = CodecConfig(
        n_filters=8, ratios=(5,), latent_dim=16, n_lstm=1, codebook_size=4, n_codebooks=1
    )
    key = jax.random.key(1, impl="unsafe_rbg")  # compiles in half the time of the default
    params = init_params(encodec.EnCodec, cfg, key=key)
    assert all(np.all(leaf == 0) for name, leaf in flatten(params).items() if "bias" in name)
    quiet_BS = random_samples(2, 300) / seanet.GAIN_IN
    assert 0.3 < float(encode_latents(params, quiet_BS, cfg=cfg).std()) < 3
    decoder = jax.jit(lambda p, z_BTL: bind(seanet.Decoder, cfg, params=p)(z_BTL))
    made_BS = decoder(params["decoder"], random_samples(2, 60, 16))
    assert 0.3 < float(made_BS.std()) / seanet.GAIN_OUT < 3


def test_quantize_takes_the_nearest_vector_of_what_is_left():
    embed_QVL = np.asarray(odd_params()["quantizer"]["embed"], np.float64)
    latents_BTL = random_samples(2, 11, ODD.latent_dim) * 2
    codes_BQT = quantize(odd_params(), latents_BTL, cfg=ODD, n_codebooks=3)
    rest_BTL = latents_BTL.astype(np.float64)
    for q in range(3):
        distance_BTV = np.square(rest_BTL[:, :, None] - embed_QVL[q]).sum(-1)
        np.testing.assert_array_equal(codes_BQT[:, q], distance_BTV.argmin(-1))
        rest_BTL = rest_BTL - embed_QVL[q][codes_BQT[:, q]]
    quantizer = bind(encodec.Quantizer, ODD, params=odd_params()["quantizer"])
    # three float32 additions of numbers of size 3
    np.testing.assert_allclose(quantizer.decode(codes_BQT), latents_BTL - rest_BTL, atol=2e-6)


def test_equal_vectors_give_the_lowest_code():
    params = flatten(odd_params())
    params["quantizer.embed"] = jnp.ones_like(params["quantizer.embed"])
    codes_BQT = quantize(
        unflatten(params), random_samples(1, 4, ODD.latent_dim), cfg=ODD, n_codebooks=2
    )
    assert not np.any(codes_BQT)


def test_codes_of_a_codebook_come_back():
    params = odd_params()
    codes_BQT = jnp.arange(ODD.codebook_size)[None, None]
    latents_BTL = bind(encodec.Quantizer, ODD, params=params["quantizer"]).decode(codes_BQT)
    again = quantize(params, latents_BTL, cfg=ODD, n_codebooks=1)
    np.testing.assert_array_equal(again, codes_BQT)


def test_stored_in_bfloat16_it_still_computes_in_float32():
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), odd_params()["decoder"])
    decoder = {"decoder": half, "quantizer": odd_params()["quantizer"]}
    samples_BS = jax.eval_shape(
        functools.partial(encodec.decode, cfg=ODD), decoder, random_codes(1, 4, 5)
    )
    assert samples_BS.dtype == jnp.float32
    lower = jax.jit(encodec.decode, static_argnames="cfg").lower
    lowered = lower(decoder, random_codes(1, 4, 5), cfg=ODD).as_text()
    for line in lowered.splitlines():  # bfloat16 is only ever read
        assert "bf16" not in line or "convert" in line or "func.func" in line, line


def test_decoding_needs_no_encoder():
    params = {name: odd_params()[name] for name in ("decoder", "quantizer")}
    assert decode(params, random_codes(1, 2, 5), cfg=ODD).shape == (1, 5 * HOP)


def test_training_differentiates_the_parts():
    """Every weight of encoder and decoder gets a gradient, whatever the quantizer is made to do."""
    cfg = dataclasses.replace(ODD, ratios=(3,))  # as few layers as there are kinds of them
    samples_BS = jnp.asarray(random_samples(2, 13))

    @jax.jit
    @jax.grad
    def gradients(params: Params) -> jax.Array:
        codec = bind(encodec.EnCodec, cfg, params=params)
        latents_BTL = codec.encoder(samples_BS)
        codes_BQT = codec.quantizer.encode(latents_BTL, 2)
        error_BTL = codec.quantizer.decode(codes_BQT) - latents_BTL
        decoded_BS = codec.decoder(latents_BTL + jax.lax.stop_gradient(error_BTL))
        return jnp.square(decoded_BS[:, : samples_BS.shape[1]] - samples_BS).mean()

    for name, leaf in flatten(gradients(odd_params(cfg))).items():
        if not name.startswith("quantizer"):
            assert np.all(np.isfinite(leaf)) and np.any(leaf != 0), name


def test_bad_rows_are_refused_by_name():
    good = random_codes(3, 4)
    for rows, message in (
        ([good, good[:, :0]], r"row 1 have shape \(3, 0\)"),
        ([good, good[:2]], r"row 1 have shape \(2, 4\), want \(3"),
        ([good + ODD.codebook_size], "row 0 run from"),
        ([np.concatenate([good, good])], "got 6 codebooks, want 1 … 4"),
    ):
        with pytest.raises(ValueError, match=message):
            decode_rows(odd_params(), rows, cfg=ODD)
    with pytest.raises(ValueError, match="row 0 has shape"):
        encode_rows(odd_params(), [np.zeros(0, np.float32)], cfg=ODD, n_codebooks=1)
    with pytest.raises(ValueError, match="got 5 codebooks"):
        encode_rows(odd_params(), [np.zeros(9, np.float32)], cfg=ODD, n_codebooks=5)
    assert decode_rows(odd_params(), [], cfg=ODD) == []
    assert encode_rows(odd_params(), [], cfg=ODD, n_codebooks=1) == []
