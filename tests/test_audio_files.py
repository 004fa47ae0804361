"""Files of every format: samples, metadata, and metadata that do not fit."""

import dataclasses
import json
import resource

import numpy as np
import pytest
import soundfile

from bark_jax.audio_files import AudioWriter, check_name, read_metadata
from tests.fake_bark import RATE, tone

MADE = dataclasses.replace(tone("hello", "alto", 3, {}), origin={"model": "x"})


def noise(n_samples: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, n_samples).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "bits", "subtype", "tolerance"),
    [
        ("a.wav", None, "FLOAT", 0),
        ("a.wav", 16, "PCM_16", 2**-15),
        ("a.wav", 24, "PCM_24", 2**-23),
        ("a.FLAC", None, "PCM_24", 2**-23),
        ("a.flac", 16, "PCM_16", 2**-15),
        ("a.ogg", None, "VORBIS", None),
        ("a.opus", None, "OPUS", None),
        ("a.mp3", None, "MPEG_LAYER_III", None),
    ],
)
def test_the_name_tells_the_format(tmp_path, name, bits, subtype, tolerance):
    MADE.save(tmp_path / name, bits=bits)
    info = soundfile.info(tmp_path / name)
    assert (info.subtype, info.samplerate, info.channels) == (subtype, RATE, 1)
    assert info.duration == pytest.approx(MADE.duration_s, abs=0.2)  # MP3 adds some at the end
    if tolerance is not None:
        audio, _ = soundfile.read(tmp_path / name, dtype="float32")
        np.testing.assert_allclose(audio, MADE.audio, atol=tolerance)
    assert read_metadata(tmp_path / name) == MADE.metadata()


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3"])
def test_metadata_are_whole_however_long_the_text_is(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    made = dataclasses.replace(MADE, text="ein langer Text, 很长。 " * 4000)
    made.save(path)
    assert read_metadata(path) == made.metadata()
    made = dataclasses.replace(MADE, text="short")
    made.save(path)
    assert read_metadata(path)["text"] == "short"  # no sidecar of before speaks for it


@pytest.mark.parametrize("suffix", [".wav", ".mp3"])
@pytest.mark.parametrize("text", ["short", "long " * 900])
def test_the_longest_names_have_their_metadata(tmp_path, suffix, text):
    path = tmp_path / f"{'é' * 125}a{suffix}"  # 255 bytes
    made = dataclasses.replace(MADE, text=text)
    made.save(path)
    assert read_metadata(path) == made.metadata()


def test_a_file_of_others_is_no_former_sidecar(tmp_path):
    (tmp_path / "a.wav.json").write_text('{"text": "a transcript"}')
    MADE.save(tmp_path / "a.wav")
    assert (tmp_path / "a.wav.json").read_text() == '{"text": "a transcript"}'


def test_a_sidecar_that_is_missing_is_missed(tmp_path):
    dataclasses.replace(MADE, text="long " * 900).save(tmp_path / "a.wav")
    (tmp_path / "a.wav.json").unlink()
    with pytest.raises(ValueError, match=r"only a part of its text: .*a\.wav\.json"):
        read_metadata(tmp_path / "a.wav")


def test_files_of_others_are_told_so(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(100), 8000)
    (tmp_path / "b.wav").write_text("no sound")
    for name, error in (("a.wav", "does not say how it was made"), ("b.wav", "not an audio file")):
        with pytest.raises(ValueError, match=error):
            read_metadata(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"there is no file .*c\.wav"):
        read_metadata(tmp_path / "c.wav")


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3"])
def test_equal_samples_give_equal_files_in_whatever_blocks_they_come(tmp_path, suffix):
    audio, files = noise(50_000), []
    for size in (50_000, 4_096, 999):
        path = tmp_path / f"{size}{suffix}"
        with AudioWriter(path, 8000, {"text": "a"}, suffix=suffix) as writer:
            for begin in range(0, len(audio), size):
                writer.write(audio[begin : begin + size])
        files.append(path.read_bytes())
    assert files[0] == files[1] == files[2]


def test_a_wav_can_be_played_while_it_is_written(tmp_path):
    path = tmp_path / "a.wav"
    with AudioWriter(path, 8000, {"text": "a"}, suffix=".wav") as writer:
        writer.write(noise(40_000))
        assert soundfile.info(path).frames >= 20_000


@pytest.mark.parametrize(
    ("name", "bits", "error"),
    [
        ("a.txt", None, "must end in .wav, .flac, .ogg, .opus, .mp3"),
        ("a", None, "must end in"),
        ("a.ogg", 16, "bits=16 is not of a .ogg file; it has none"),
        ("a.wav", 8, "bits=8 is not of a .wav file; want 32 or 16 or 24"),
    ],
)
def test_other_names_and_bits_are_refused(name, bits, error):
    with pytest.raises(ValueError, match=error):
        check_name(name, bits)


def test_a_rate_that_a_format_lacks_is_an_error_and_leaves_nothing(tmp_path):
    made = dataclasses.replace(MADE, sample_rate=200)
    with pytest.raises(OSError, match="cannot write"):
        made.save(tmp_path / "a.opus")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.npz"])
def test_a_full_disk_is_told_by_the_files_name(tmp_path, name):
    codes = np.zeros((8, 9000), np.int32)
    made = dataclasses.replace(
        MADE, audio=noise(5 * RATE), semantic=codes[0], coarse=codes[:2], fine=codes
    )
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))  # as if no more were free
    try:
        with pytest.raises(OSError, match=f"^cannot write .*/{name}: File too large$"):
            (made.save_voice if name.endswith(".npz") else made.save)(tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_the_comment_is_plain_json(tmp_path):
    MADE.save(tmp_path / "a.wav")
    with soundfile.SoundFile(tmp_path / "a.wav") as file:
        assert json.loads(file.comment) == MADE.metadata()
