"""Records on disk: they come back as they were, and damage is named."""

import pickle
import resource
import shutil

import numpy as np
import pytest

pytest.importorskip("grain", reason="needs the extra train")

from bark_jax.data.manifest import Manifest, TokenSpec, read_manifest, write_manifest
from bark_jax.data.pcm import quantize_audio, restore_audio
from bark_jax.data.records import Record, open_source, write_shards
from tests import tiny

SPEC = TokenSpec.of(tiny.CONFIG, tiny.make_bark().runner.tokenizer)


def make_record(i, audio=True):
    rng = np.random.default_rng(i)
    return Record(
        id=f"row/{i}",
        text=f"tëxt {i}",
        speaker="s" * (i % 2),
        text_ids=rng.integers(0, 30, 3 + i, np.int32),
        semantic=rng.integers(0, 50, 5 + i, np.int32),
        codes=rng.integers(0, 20, (5, 4 + i), np.int32),
        audio=restore_audio(quantize_audio(rng.uniform(-1, 1, 40 + i))) if audio else None,
    )


def write(directory, n_per_shard=(3, 2), audio=True, n_eval=1):
    """A directory with as many shards of training records as there are numbers."""
    directory.mkdir(exist_ok=True)
    shards, made = [], 0
    for index, n in enumerate(n_per_shard):
        records = [make_record(made + i, audio) for i in range(n)]
        shards += write_shards(directory, "train", index, records)
        made += n
    shards += write_shards(directory, "eval", 0, [make_record(100 + i) for i in range(n_eval)])
    manifest = Manifest(
        spec=SPEC, settings={"a": [1, None]}, counts={}, n_skipped=0, shards=tuple(shards)
    )
    write_manifest(directory, manifest)
    return manifest


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    directory = tmp_path_factory.mktemp("records") / "data"
    write(directory)
    return directory


@pytest.fixture
def own_data(data, tmp_path):
    return shutil.copytree(data, tmp_path / "own")


def assert_equal(got, want):
    assert (got.id, got.text, got.speaker) == (want.id, want.text, want.speaker)
    for name in ("text_ids", "semantic", "codes"):
        array = getattr(got, name)
        assert array.dtype == np.int32
        np.testing.assert_array_equal(array, getattr(want, name))


def test_records_come_back_in_any_order(data):
    source = open_source(data, "train", with_audio=True)
    assert len(source) == 5
    for i in (4, 0, 3, -1):
        assert_equal(source[i], make_record(i % 5))
        assert source[i].audio.dtype == np.float32
        np.testing.assert_array_equal(source[i].audio, make_record(i % 5).audio)
    assert [record.id for record in source[1:4]] == ["row/1", "row/2", "row/3"]
    with pytest.raises(IndexError):
        source[5]
    assert open_source(data, "train")[2].audio is None
    assert open_source(data, "eval")[0].id == "row/100"


def test_a_source_pickles_and_feeds_grain(data):
    import grain

    source = pickle.loads(pickle.dumps(open_source(data, "train")))
    mixed = grain.MapDataset.source(source).shuffle(seed=0)
    assert sorted(mixed[i].id for i in range(5)) == [f"row/{i}" for i in range(5)]


def test_equal_records_give_equal_files(data, tmp_path):
    manifest = write(tmp_path / "again")
    assert manifest == read_manifest(data)


def test_stored_audio_is_within_half_a_step_and_clipped():
    audio = np.array([0.3, -1.0, 1.0, 2.0, -2.0], np.float32)
    restored = restore_audio(quantize_audio(audio))
    assert np.abs(restored - audio.clip(-1, 1 - 2**-15)).max() <= 2**-16  # half a step of 2^-15
    np.testing.assert_array_equal(quantize_audio(restored), quantize_audio(audio))


def test_what_is_not_there_is_said(data, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no complete training data.*prepare-data"):
        open_source(tmp_path, "train")
    with pytest.raises(ValueError, match=r"split='test' is not one of"):
        open_source(data, "test")
    write(tmp_path / "bare", audio=False, n_eval=0)
    with pytest.raises(ValueError, match=r"has no eval records"):
        open_source(tmp_path / "bare", "eval")
    with pytest.raises(ValueError, match=r"holds no audio; prepare it again with keep_audio=true"):
        open_source(tmp_path / "bare", "train", with_audio=True)


def test_damage_is_named(own_data):
    shard = own_data / "train-tokens-00000.array_record"
    content = bytearray(shard.read_bytes())
    content[300:310] = bytes(byte ^ 1 for byte in content[300:310])
    shard.write_bytes(content)
    source = open_source(own_data, "train")
    with pytest.raises(ValueError, match=r"record \d of the train records of .* is damaged"):
        [source[i] for i in range(3)]

    shard.write_bytes(content[:-100])
    with pytest.raises(ValueError, match=r"bytes, but manifest.json says"):
        open_source(own_data, "train")
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=r"tokens-00000.array_record is missing"):
        open_source(own_data, "train")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"bark_jax_data/1"', '"bark_jax_data/9"', "has format 'bark_jax_data/9'"),
        ('"n_skipped"', '"skipped"', "is damaged: .*skipped"),
        ('"train-tokens-00000', '"../train-tokens-00000', "which is not a file name"),
        ("{", "", "it is not JSON"),
    ],
)
def test_a_wrong_manifest_is_refused(own_data, old, new, message):
    path = own_data / "manifest.json"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        read_manifest(own_data)


def test_data_of_another_model_are_refused():
    import dataclasses

    SPEC.check_fits(SPEC)
    dataclasses.replace(SPEC, semantic_vocab_size=30).check_fits(SPEC)  # fewer tokens in use
    other = dataclasses.replace(SPEC, semantic_vocab_size=51, codebook_size=21)
    with pytest.raises(ValueError, match=r"codebook_size is 21 in the data, 20 in the model; sem"):
        other.check_fits(SPEC)
    codecs = [{"quantizer": {"embed": np.full((2, 3, 4), value)}} for value in (0.0, 1.0)]
    tokenizer = tiny.make_bark().runner.tokenizer
    zeros, ones = (TokenSpec.of(tiny.CONFIG, tokenizer, codec) for codec in codecs)
    zeros.check_fits(zeros)
    zeros.check_fits(SPEC)  # of a model whose codec does not matter
    with pytest.raises(ValueError, match=r"codebooks_sha256 is \w+ in the data, \w+ in"):
        zeros.check_fits(ones)


def test_a_full_disk_leaves_nothing(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"cannot write .*train-tokens-00000"):
            write_shards(tmp_path, "train", 0, [make_record(0)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_no_records_make_no_file(tmp_path):
    assert write_shards(tmp_path, "train", 0, []) == ()
    assert list(tmp_path.iterdir()) == []
