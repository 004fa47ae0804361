"""Recordings to clips: rate, channels, silence, lengths."""

import numpy as np
import pytest
import soundfile

pytest.importorskip("librosa", reason="needs the extra train")

from bark_jax.preparation.clips import ClipSettings, read_clip

RATE = 8000
SETTINGS = ClipSettings(sample_rate=RATE)


def tone(seconds, rate=RATE, hz=500.0):
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def padded(audio, before_s, after_s, rate=RATE):
    return np.pad(audio, (round(before_s * rate), round(after_s * rate)))


def write(tmp_path, audio, rate=RATE, name="a.wav"):
    soundfile.write(tmp_path / name, audio, rate)
    return tmp_path / name


@pytest.mark.parametrize(("rate", "name"), [(8000, "a.wav"), (11025, "a.flac"), (48000, "a.ogg")])
def test_any_rate_and_format_becomes_the_same_tone(tmp_path, rate, name):
    stereo = np.stack([tone(1, rate), np.zeros(rate)], axis=1)
    clip = read_clip(write(tmp_path, stereo, rate, name), SETTINGS)
    assert clip.audio.dtype == np.float32
    assert abs(len(clip.audio) - RATE) <= 1
    inner = slice(RATE // 10, -RATE // 10)  # away from the resampler's edges
    error = clip.audio[inner] - tone(1)[: len(clip.audio)][inner] / 2  # of two channels, one mute
    # 16 bit and a resampler of 120 dB leave less than 1e-3; Vorbis codes at about 30 dB
    assert np.abs(error).max() < (0.03 if name.endswith("ogg") else 1e-3)


def test_silence_goes_but_for_a_margin(tmp_path):
    path = write(tmp_path, padded(tone(1), 0.7, 0.5))
    clip = read_clip(path, SETTINGS)
    assert clip.begin_s == pytest.approx(0.6, abs=0.02)  # a window of loudness is 0.04 s
    assert len(clip.audio) / RATE == pytest.approx(1.2, abs=0.04)
    whole = read_clip(path, ClipSettings(sample_rate=RATE, trim_db=None))
    assert (whole.begin_s, len(whole.audio)) == (0, round(2.2 * RATE))


def test_lengths_count_after_trimming(tmp_path):
    settings = ClipSettings(sample_rate=RATE, min_s=0.5, max_s=1.5)
    assert len(read_clip(write(tmp_path, padded(tone(1), 1, 1)), settings).audio) < 1.5 * RATE
    with pytest.raises(ValueError, match=r"it lasts 0\.3\d s, want 0.5 … 1.5 s"):
        read_clip(write(tmp_path, padded(tone(0.1), 1, 1)), settings)
    with pytest.raises(ValueError, match=r"it lasts 2.00 s"):
        read_clip(write(tmp_path, tone(2)), settings)
    with pytest.raises(ValueError, match=r"the recording lasts 16 s; cut it into utterances"):
        read_clip(write(tmp_path, tone(16)), settings)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(RATE), "it is silent"),
        (np.zeros(0), "it is silent"),
        (np.full(RATE, np.nan), "not finite"),
    ],
)
def test_what_holds_no_sound_is_refused(tmp_path, audio, message):
    soundfile.write(tmp_path / "a.wav", audio, RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match=message):
        read_clip(tmp_path / "a.wav", SETTINGS)


def test_what_is_no_audio_is_refused(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF but no more")
    with pytest.raises(ValueError, match="it is not audio that libsndfile can read"):
        read_clip(tmp_path / "a.wav", SETTINGS)
    with pytest.raises(FileNotFoundError, match="is not a file"):
        read_clip(tmp_path / "b.wav", SETTINGS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_s": 2, "max_s": 1}, "min_s=2, max_s=1"),
        ({"trim_db": 0}, "trim_db=0, want more than 0"),
        ({"margin_s": -1}, "margin_s=-1 is less than 0"),
    ],
)
def test_settings_out_of_range_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        ClipSettings(sample_rate=RATE, **wrong)
