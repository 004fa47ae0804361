"""The drop-in functions: which model they load, what they pass on, what they refuse."""

import contextlib
import os
from types import SimpleNamespace

import numpy as np
import pytest

from bark_jax import api
from bark_jax.config import STAGES
from bark_jax.pipeline import Bark
from bark_jax.sources.suno_downloads import CODEC, find_downloads, suno_downloads
from bark_jax.voices import Voice

VARIABLES = ("BARK_JAX_MODEL", "SUNO_USE_SMALL_MODELS", "SUNO_OFFLOAD_CPU", "TORCH_HOME")


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    """No loaded models, no variables, empty caches."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(api, "models", {})
    monkeypatch.setattr(api, "_wants_small", {})
    monkeypatch.setattr(api, "_given_rate", None)


class FakeParams:
    """Notes that it was loaded."""

    def __init__(self, stage, log):
        self.stage, self.log = stage, log

    @contextlib.contextmanager
    def on_device(self):
        self.log.append(self.stage)
        yield


class FakeBark:
    """Remembers which model it is, and what it was asked."""

    def __init__(self, source, offload):
        self.name = (source, offload)
        self.calls = []
        self.sample_rate = 24_000
        self.preloaded = []
        params = {stage: FakeParams(stage, self.preloaded) for stage in STAGES}
        self.runner = SimpleNamespace(params=params)

    def semantic(self, text, **options):
        self.calls.append((text, options))
        return np.arange(4, dtype=np.int32)

    def coarse(self, semantic, **options):
        self.calls.append((semantic, options))
        return np.zeros((2, 6), np.int32)

    def fine(self, coarse, **options):
        self.calls.append((coarse, options))
        return np.zeros((8, coarse.shape[1]), np.int32)

    def decode(self, codes):
        self.calls.append((codes, {}))
        return np.zeros(320 * codes.shape[1], np.float32)


@pytest.fixture
def loaded(monkeypatch):
    """Every model that is loaded, in order; all are fakes."""
    made = []

    def from_pretrained(source, *, offload):
        made.append(FakeBark(source, offload))
        return made[-1]

    monkeypatch.setattr(api.Bark, "from_pretrained", from_pretrained)
    return made


def names(loaded):
    return [fake.name[0] for fake in loaded]


# Which model


def test_a_call_loads_the_one_large_model_it_needs(loaded):
    api.generate_fine(np.zeros((2, 6), np.int32))
    assert [fake.name for fake in loaded] == [("suno/bark", False)]
    assert [key[0] for key in api.models] == ["fine"]


def test_a_model_is_loaded_once(loaded):
    api.generate_audio("Hello.")
    api.generate_audio("Hello.")
    assert len(loaded) == 4


def test_preload_models_mixes_sizes(loaded):
    api.preload_models(coarse_use_small=True)
    small = ["suno/bark", "suno/bark-small", "suno/bark", "suno/bark"]
    assert names(loaded) == small
    assert [fake.preloaded for fake in loaded] == [["semantic"], ["coarse"], ["fine"], ["codec"]]
    api.generate_audio("Hello.")
    assert names(loaded) == small and all(len(fake.calls) == 1 for fake in loaded)


def test_a_small_model_after_a_large_one_is_a_small_one(loaded):
    api.preload_models()
    api.preload_models(text_use_small=True)
    assert names(loaded[4:]) == ["suno/bark-small"]
    api.preload_models()
    assert len(loaded) == 5, "the large one is still there"


def test_variables_count_after_the_import(loaded, monkeypatch):
    monkeypatch.setenv("SUNO_USE_SMALL_MODELS", "TRUE")
    api.text_to_semantic("Hello.")
    monkeypatch.setenv("SUNO_USE_SMALL_MODELS", "yes")  # not one of true, 1, t
    monkeypatch.setenv("SUNO_OFFLOAD_CPU", "t")
    api.text_to_semantic("Hello.")
    monkeypatch.setenv("BARK_JAX_MODEL", "/my/model")
    api.text_to_semantic("Hello.")
    assert [fake.name for fake in loaded] == [
        ("suno/bark-small", False),
        ("suno/bark", True),
        ("/my/model", True),
    ]


def test_force_reload_and_clean_models(loaded):
    api.preload_models()
    api.preload_models(force_reload=True)
    assert len(loaded) == 8 and len(api.models) == 4
    api.clean_models("text")
    assert {key[0] for key in api.models} == {"coarse", "fine", "codec"}
    api.clean_models()
    assert not api.models


def test_load_model_refuses_other_types(loaded):
    assert api.load_model(model_type="coarse") is loaded[0]
    with pytest.raises(NotImplementedError, match="model_type='codec'"):
        api.load_model(model_type="codec")


def test_an_unused_accelerator_is_told(loaded, monkeypatch):
    monkeypatch.setattr(api.jax, "default_backend", lambda: "gpu")
    with pytest.warns(UserWarning, match="the fine model uses the accelerator: only JAX_PLATFO"):
        api.preload_models(fine_use_gpu=False)


# Suno's own downloads


def downloads(tmp_path, monkeypatch, suffix, absent=()):
    """Puts the files that the original downloads where it puts them."""
    vocab = tmp_path / "vocab.txt"
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache",
        lambda repo, _: str(vocab) if repo.startswith("google") and vocab.exists() else None,
    )
    suno = tmp_path / "cache" / "suno" / "bark_v0"
    files = [suno / f"{kind}{suffix}.pt" for kind in ("text", "coarse", "fine")]
    files += [tmp_path / "cache" / "torch" / "hub" / "checkpoints" / CODEC, vocab]
    for file in files:
        if file.name not in absent:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(file.name)


def test_sunos_downloads_are_used(loaded, tmp_path, monkeypatch):
    downloads(tmp_path, monkeypatch, "_2")
    api.text_to_semantic("Hello.")
    folder = suno_downloads(small=False)
    assert names(loaded) == [str(folder)]
    assert folder and sorted(os.listdir(folder)) == [
        "coarse_2.pt", CODEC, "fine_2.pt", "text_2.pt", "vocab.txt",
    ]  # fmt: skip
    assert (folder / "text_2.pt").read_text() == "text_2.pt"
    assert suno_downloads(small=False) == folder, "made once, found again"
    assert suno_downloads(small=True) is None
    api.generate_coarse(np.arange(4))
    assert names(loaded)[1:] == [str(folder)]


@pytest.mark.parametrize("absent", ["coarse.pt", CODEC, "vocab.txt"])
def test_incomplete_downloads_are_not_used(loaded, tmp_path, monkeypatch, absent):
    downloads(tmp_path, monkeypatch, "", {absent})
    monkeypatch.setenv("SUNO_USE_SMALL_MODELS", "1")
    api.text_to_semantic("Hello.")
    assert names(loaded) == ["suno/bark-small"]
    assert [name for name, path in find_downloads(small=True).items() if path is None] == [absent]


# What is passed on


def test_generate_audio_passes_everything_on(loaded):
    full, audio = api.generate_audio("Hello.", "announcer", 0.6, 0.8, True, True, seed=3)
    (text, semantic), (_, coarse), (_, fine), _ = (fake.calls[0] for fake in loaded)
    same = {"voice": "announcer", "seed": 3}
    assert text == "Hello."
    assert semantic.pop("sampling") == {
        "semantic": {
            "temperature": 0.6,
            "top_k": None,
            "top_p": None,
            "min_eos_p": 0.2,
            "max_duration_s": None,
            "allow_early_stop": True,
        }
    }
    assert semantic == same | {"progress": False}
    assert coarse["sampling"] == {"coarse": {"temperature": 0.8, "top_k": None, "top_p": None}}
    assert fine["sampling"] == {"fine": {"temperature": 0.5}} and fine["progress"] is False
    assert coarse["seed"] == fine["seed"] == 3 and coarse["voice"] == fine["voice"] == "announcer"
    assert [(key, value.dtype, value.shape) for key, value in full.items()] == [
        ("semantic_prompt", np.int64, (4,)),
        ("coarse_prompt", np.int32, (2, 6)),
        ("fine_prompt", np.int32, (8, 6)),
    ]
    assert audio.dtype == np.float32 and audio.shape == (1920,)


def test_stage_arguments_are_passed_on(loaded):
    api.generate_text_semantic("a", None, 1, 5, 0.9, True, None, 2.5, False, True)
    values = loaded[0].calls[0][1]["sampling"]["semantic"]
    assert list(values.values()) == [1, 5, 0.9, None, 2.5, False]
    api.generate_coarse(np.arange(4), None, 1, 5, 0.9, True, 300, 30, True)
    options = loaded[1].calls[0][1]
    assert options["sampling"]["coarse"] == {"temperature": 1, "top_k": 5, "top_p": 0.9}
    assert (options["max_history"], options["window"]) == (300, 30)
    api.generate_fine(np.zeros((1, 6), int), temp=None, silent=False)
    options = loaded[2].calls[0][1]
    assert options["sampling"]["fine"] == {"temperature": 0} and options["progress"] is True


def test_seeds_follow_numpys_generator(loaded):
    def drawn():
        np.random.seed(1)
        api.generate_audio("Hello.")
        api.generate_audio("Hello.")
        return [options["seed"] for _, options in loaded[0].calls[-2:]]

    first, second = drawn()
    assert first != second and drawn() == [first, second]


def test_save_as_prompt(tmp_path):
    shapes = {"semantic_prompt": (4,), "coarse_prompt": (2, 6), "fine_prompt": (8, 6)}
    full = {key: np.ones(shape, int) for key, shape in shapes.items()}
    api.save_as_prompt(str(tmp_path / "me.npz"), full)
    with np.load(tmp_path / "me.npz") as archive:
        assert set(archive) == set(full) and (archive["fine_prompt"] == np.ones((8, 6))).all()
    for path, value, message in (
        ("me.txt", full, "must end in .npz"),
        ("me.npz", [1], "must be a dict, got list"),
        ("me.npz", {"semantic_prompt": 1}, "lacks coarse_prompt, fine_prompt"),
        ("new.npz", full | {"fine_prompt": np.ones((8, 6), object)}, "fine_prompt has dtype obj"),
        ("new.npz", full | {"semantic_prompt": [0.5]}, "semantic_prompt has dtype float64"),
        ("new.npz", full | {"coarse_prompt": [1, 2]}, r"has dtype int64 and shape \(2,\), want wh"),
        ("new.npz", full | {"semantic_prompt": []}, r"shape \(0,\), want .* of shape"),
        ("new.npz", full | {"coarse_prompt": [[-1]]}, "want whole numbers >= 0"),
    ):
        with pytest.raises(AssertionError, match=message):
            api.save_as_prompt(tmp_path / path, value)  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == ["me.npz"]
    Voice.load(tmp_path / "me.npz", api.TOKENS)


def test_constants():
    assert api.SAMPLE_RATE == 24_000


def test_the_sample_rate_is_the_models(monkeypatch, untrained):
    """As the README imports it, before anything is loaded, and afterwards."""
    monkeypatch.setenv("BARK_JAX_MODEL", "nano")
    assert api.SAMPLE_RATE == 16_000
    monkeypatch.setenv("BARK_JAX_MODEL", "suno/bark")  # which is not on this machine
    assert api.SAMPLE_RATE == 24_000
    monkeypatch.setattr(api, "models", {("codec", "x", False): untrained})
    assert api.SAMPLE_RATE == untrained.sample_rate


def test_audio_of_another_rate_than_was_imported_warns(on_untrained, monkeypatch):
    codes = np.zeros((4, 2), np.int32)
    assert len(api.codec_decode(codes)), "nobody has asked for the rate"
    monkeypatch.setattr(api, "_given_rate", 8_000)
    with pytest.warns(UserWarning, match="but SAMPLE_RATE was imported as 8000"):
        api.codec_decode(codes)
    assert len(api.SUPPORTED_LANGS) == 13 and len(api.ALLOWED_PROMPTS) == 261
    assert {"announcer", "v2/zh_speaker_9", "en_speaker_0"} < api.ALLOWED_PROMPTS


# What is refused, and the real thing


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """The untrained model, loaded without `api`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return Bark.from_pretrained("untrained")


@pytest.fixture
def on_untrained(untrained, monkeypatch):
    monkeypatch.setenv("BARK_JAX_MODEL", "untrained")
    monkeypatch.setattr(api.Bark, "from_pretrained", lambda source, offload: untrained)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: api.generate_audio(["a", "b"]), "text must be a str, got list"),
        (lambda: api.generate_audio("  \n "), "text is empty"),
        (lambda: api.generate_audio("a", text_temp=-1), "temperature=-1 is not allowed"),
        (lambda: api.generate_audio("a", "nobody"), "'nobody' not found"),
        (lambda: api.generate_audio("a", {"semantic_prompt": np.arange(3)}), "lacks coarse_prompt"),
        (lambda: api.generate_audio("a", 3), "voice is a int"),
        (lambda: api.generate_text_semantic("a", top_k=0), "top_k=0 is not allowed"),
        (lambda: api.generate_coarse([1, 2]), "x_semantic must be an array of 1 axes"),
        (lambda: api.generate_coarse(np.zeros((2, 2), int)), "an array of shape"),
        (lambda: api.generate_coarse(np.zeros(0, int)), "semantic is empty"),
        (lambda: api.generate_coarse(np.array([99_999])), "want 0 …"),
        (lambda: api.generate_coarse(np.arange(4), max_coarse_history=2), "max_history=2 is not"),
        (lambda: api.generate_fine(np.zeros((9, 2), int)), "has shape"),
        (lambda: api.codec_decode(np.zeros(4, int)), "fine_tokens must be an array of 2 axes"),
    ],
)
def test_bad_arguments_raise_what_the_original_raises(on_untrained, call, message):
    with pytest.raises(AssertionError, match=message) as error:
        call()
    assert isinstance(error.value, ValueError)


def test_generate_audio_is_the_models_generation(on_untrained, untrained, capsys):
    generation = untrained.generate("hello there", seed=3)
    full, audio = api.generate_audio("hello there", output_full=True, seed=3)
    np.testing.assert_array_equal(full["semantic_prompt"], generation.semantic)
    np.testing.assert_array_equal(full["coarse_prompt"], generation.coarse)
    np.testing.assert_array_equal(full["fine_prompt"], generation.fine)
    np.testing.assert_allclose(audio, generation.audio, atol=1e-6)
    assert capsys.readouterr() == ("", "")


def test_a_full_generation_is_a_history_prompt(on_untrained, tmp_path):
    full, _ = api.generate_audio("hello there", output_full=True, seed=3)
    api.save_as_prompt(str(tmp_path / "me.npz"), full)
    again = [
        api.text_to_semantic("and on", prompt, seed=4)
        for prompt in (full, str(tmp_path / "me.npz"))
    ]
    np.testing.assert_array_equal(*again)
    assert again[0].dtype == np.int64
