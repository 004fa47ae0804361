"""The codec against the two PyTorch implementations, on random weights and random codebooks.

Tolerance: both sides are float32 and sum in different orders. Measured 7e-7 on audio of standard
deviation 0.14, where torch itself is 5e-7 from float64; a wrong padding, bias or gate order shows
above 1e-3. Codes must be equal: the closest call among them is 3e-3 in squared distance.
"""

import functools
import importlib.util
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

if importlib.util.find_spec("encodec") is None:
    pytest.skip("needs the extra parity", allow_module_level=True)

import tests.parity.reference  # noqa: F401  # first: it puts in place what encodec's import needs

# isort: split
import torch
from encodec.model import EncodecModel
from encodec.modules.seanet import SEANetDecoder, SEANetEncoder
from encodec.quantization.vq import ResidualVectorQuantizer
from transformers import EncodecConfig
from transformers import EncodecModel as HuggingFaceEncodec

from bark_jax.config import CodecConfig
from bark_jax.models import encodec
from bark_jax.models.binding import abstract_params, bind
from bark_jax.models.seanet import WeightNorm
from bark_jax.params import Params, flatten, unflatten
from bark_jax.stages import codec
from tests import tiny

# encodec was written before torch renamed its weight norm
pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is dep:FutureWarning")

CFG = CodecConfig()
# no two sizes alike; two samples per frame and then three: shorter than every padding
ODD = CodecConfig(
    n_filters=6, ratios=(2, 3), latent_dim=10, n_lstm=1, codebook_size=17, n_codebooks=5
)

FRAMES = (1, 3, 6, 7, 8, 50, 205)
SAMPLES = {1: 1, 319: 1, 320: 1, 321: 2, 24_001: 76}
ATOL = 1e-5
# the functions that speaking compiles, and those that only tests and training look at alone
decode_rows, encode, encode_rows = (
    functools.partial(function, execution=tiny.F32)
    for function in (codec.decode_rows, codec.encode, codec.encode_rows)
)
decode = jax.jit(encodec.decode, static_argnames="cfg")
encode_latents = jax.jit(encodec.encode_latents, static_argnames="cfg")
quantize = jax.jit(encodec.quantize, static_argnames=("cfg", "n_codebooks"))


class Original(torch.nn.Module):
    """EnCodec's three parts at any size, under the names of its checkpoints."""

    def __init__(self, cfg: CodecConfig) -> None:
        super().__init__()
        sizes: dict = dict(
            dimension=cfg.latent_dim, n_filters=cfg.n_filters, ratios=list(cfg.ratios),
            kernel_size=cfg.kernel_size, last_kernel_size=cfg.kernel_size, causal=True,
            residual_kernel_size=cfg.residual_kernel_size, lstm=cfg.n_lstm,
        )  # fmt: skip
        self.encoder = SEANetEncoder(**sizes)
        self.decoder = SEANetDecoder(**sizes)
        self.quantizer = ResidualVectorQuantizer(
            dimension=cfg.latent_dim, n_q=cfg.n_codebooks, bins=cfg.codebook_size
        )


def randomise(model: torch.nn.Module, seed: int) -> Any:
    """What is trivial in a new model at random: codebooks are zeros, g is the length of v.

    g grows as well, since torch's initial weights let the signal fade from layer to layer.
    """
    generator = torch.Generator().manual_seed(seed)
    state = model.state_dict()
    for name, value in state.items():
        if re.search(r"codebook\.(embed|embed_avg|cluster_size)$", name):
            state[name] = torch.randn(value.shape, generator=generator)
        elif name.endswith(("weight_g", "original0")):
            state[name] = value * (1 + torch.rand(value.shape, generator=generator))
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)


def to_params(state: dict[str, torch.Tensor], cfg: CodecConfig) -> Params:
    """Our tree from either dialect of names; asserts that every name and shape is used."""
    flat: dict = {}
    codebooks: dict[str, dict[int, np.ndarray]] = {}
    for name, value in state.items():
        name = re.sub(r"^(encoder|decoder)\.model\.", r"\1.layers.", name)
        name = re.sub(r"\.(conv\.conv|convtr\.convtr)\.", ".conv.", name)
        name = name.replace("parametrizations.weight.original0", "weight_g")
        name = name.replace("parametrizations.weight.original1", "weight_v")
        if match := re.fullmatch(r"quantizer\.(?:vq\.)?layers\.(\d+)\._?codebook\.(\w+)", name):
            codebooks.setdefault(match[2], {})[int(match[1])] = value.numpy()
        else:
            flat[name] = jnp.asarray(value.numpy())
    for name, rows in codebooks.items():
        stacked = np.stack([rows[k] for k in range(cfg.n_codebooks)])
        flat[f"quantizer.{name}"] = jnp.asarray(stacked[:, 0] if name == "inited" else stacked)
    want = {
        name: leaf.shape for name, leaf in flatten(abstract_params(encodec.EnCodec, cfg)).items()
    }
    assert {name: leaf.shape for name, leaf in flat.items()} == want
    return unflatten(flat)


@pytest.fixture(scope="module")
def original():
    torch.manual_seed(0)
    model = EncodecModel.encodec_model_24khz(pretrained=False)
    model.set_target_bandwidth(6.0)  # 8 codebooks
    return randomise(model, seed=1)


@pytest.fixture(scope="module")
def params(original):
    return to_params(original.state_dict(), CFG)


@pytest.fixture(scope="module")
def odd():
    torch.manual_seed(2)
    model = randomise(Original(ODD), seed=3)
    return model, to_params(model.state_dict(), ODD)


def random_codes(cfg: CodecConfig, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, cfg.codebook_size, shape, dtype=np.int32)


def torch_decode(model, codes_BQT: np.ndarray) -> np.ndarray:
    latents = model.quantizer.decode(torch.from_numpy(codes_BQT).long().transpose(0, 1))
    return model.decoder(latents)[:, 0].numpy()


def random_audio(n_samples: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.3 * rng.normal(size=n_samples)).astype(np.float32)


def test_decoder(original, params):
    """All lengths padded into one batch, and some of them alone (a compilation each)."""
    rows = [random_codes(CFG, 8, n, seed=n) for n in FRAMES]
    expected = [torch_decode(original, row[None])[0] for row in rows]
    assert min(audio.std() for audio in expected) > 0.05, "the audio is too quiet to compare"
    for samples, audio in zip(decode_rows(params, rows, cfg=CFG), expected, strict=True):
        np.testing.assert_allclose(samples, audio, atol=ATOL, rtol=0)
    for i in (0, 2, 3, 5):
        alone_BS = decode(params, rows[i][None], cfg=CFG)
        np.testing.assert_allclose(alone_BS[0], expected[i], atol=ATOL, rtol=0)


def check_latents(model, params: Params, rows: list[np.ndarray], cfg: CodecConfig) -> None:
    """Latents of rows padded into one batch; codes alone would hide small mistakes."""
    samples_BS = np.zeros((len(rows), max(map(len, rows))), np.float32)
    for i, row in enumerate(rows):
        samples_BS[i, : len(row)] = row
    length_B = np.array([len(row) for row in rows], np.int32)
    latents_BTL = encode_latents(params, samples_BS, length_B, cfg=cfg)
    for row, latents_TL in zip(rows, np.asarray(latents_BTL), strict=True):
        expected_TL = model.encoder(torch.from_numpy(row)[None, None])[0].T.numpy()
        np.testing.assert_allclose(latents_TL[: len(expected_TL)], expected_TL, atol=ATOL, rtol=0)


def test_encoder(original, params):
    """Latents and codes of each length, in one padded batch; codes of one length alone."""
    rows = [random_audio(n, seed=n) for n in SAMPLES]
    check_latents(original, params, rows, CFG)
    together = encode_rows(params, rows, cfg=CFG, n_codebooks=8)
    for row, codes, n_frames in zip(rows, together, SAMPLES.values(), strict=True):
        ((expected_BQT, _),) = original.encode(torch.from_numpy(row)[None, None])
        assert codes.shape == (8, n_frames)
        np.testing.assert_array_equal(codes, expected_BQT[0].numpy())
        if len(row) == 321:
            alone_BQT = encode(params, jnp.asarray(row)[None], cfg=CFG, n_codebooks=8)
            np.testing.assert_array_equal(alone_BQT, expected_BQT.numpy())


def test_quantizer_uses_all_codebooks(original, params):
    latents_BTL = np.random.default_rng(5).normal(size=(2, 40, 128)).astype(np.float32)
    codes_BQT = quantize(params, latents_BTL, cfg=CFG, n_codebooks=32)
    latents = torch.from_numpy(latents_BTL).transpose(1, 2)
    expected_QBT = original.quantizer.vq.encode(latents, n_q=32).numpy()
    np.testing.assert_array_equal(codes_BQT, expected_QBT.transpose(1, 0, 2))


def test_other_sizes(odd):
    """Filters, ratios, latents, LSTM depth and codebooks that are not the 24 kHz model's."""
    model, params = odd
    rows = [random_codes(ODD, 5, n, seed=n) for n in (1, 2, 3, 6, 7, 30)]
    for row, samples in zip(rows, decode_rows(params, rows, cfg=ODD), strict=True):
        np.testing.assert_allclose(samples, torch_decode(model, row[None])[0], atol=ATOL, rtol=0)
    rows = [random_audio(n, seed=n) for n in (1, 2, 3, 4, 5, 6, 7, 8, 41, 100)]
    check_latents(model, params, rows, ODD)
    for row, codes in zip(rows, encode_rows(params, rows, cfg=ODD, n_codebooks=5), strict=True):
        latents = model.encoder(torch.from_numpy(row)[None, None])
        expected_QBT = model.quantizer.vq.encode(latents, n_q=5).numpy()
        np.testing.assert_array_equal(codes, expected_QBT[:, 0])


def test_hugging_face():
    """transformers' EncodecModel: other names, other code for the paddings, the same numbers."""
    torch.manual_seed(4)
    model = randomise(HuggingFaceEncodec(EncodecConfig()), seed=5)
    params = to_params(model.state_dict(), CFG)
    codes_BQT = random_codes(CFG, 2, 8, 50)
    expected = model.decode(torch.from_numpy(codes_BQT).long()[None], [None]).audio_values
    samples_BS = decode(params, codes_BQT, cfg=CFG)
    np.testing.assert_allclose(samples_BS, expected[:, 0].numpy(), atol=ATOL, rtol=0)
    audio = random_audio(24_001, seed=6)
    expected = model.encode(torch.from_numpy(audio)[None, None], bandwidth=6.0).audio_codes
    (codes,) = encode_rows(params, [audio], cfg=CFG, n_codebooks=8)
    np.testing.assert_array_equal(codes, expected[0, 0].numpy())


def test_weight_norm(original, params):
    """Kernels of a convolution, and of a transposed one whose lengths are per input channel."""
    for layer, convolution in ((0, "conv"), (3, "convtr")):
        module = getattr(getattr(original.decoder.model[layer], convolution), convolution)
        expected = torch.ops.aten._weight_norm(module.weight_v, module.weight_g, 0).numpy()
        ours = bind(
            WeightNorm, tuple(expected.shape), len(module.bias), 1.0,
            params=params["decoder"]["layers"][str(layer)]["conv"],
        )  # fmt: skip
        np.testing.assert_allclose(ours.weight(), expected, rtol=2e-6)  # a few float32 roundings
        assert np.abs(expected - module.weight_v.numpy()).max() > 1e-3, "nothing was normalised"
