"""A generation as HTML: what it shows and plays, and that it needs nothing from outside."""

import base64
import dataclasses
import io
import re
from html.parser import HTMLParser

import numpy as np
import soundfile

from tests.fake_bark import tone

SAMPLING = {"semantic": {"temperature": 0.7, "top_k": None}, "fine": {"temperature": 0}}


class Reader(HTMLParser):
    """Checks that tags are closed in their order; collects text and attributes."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.found = [], [], {}

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.found.setdefault(tag, []).append(dict(attrs))

    def handle_startendtag(self, tag, attrs):
        self.found.setdefault(tag, []).append(dict(attrs))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(generation) -> Reader:
    reader = Reader()
    reader.feed(generation._repr_html_())
    reader.close()
    assert not reader.open
    return reader


def test_it_plays_the_samples_and_says_how_they_were_made():
    made = tone('say <b>"hi"</b> & go', "alto", 7, SAMPLING)
    page = read(made)
    (sound,) = page.found["audio"]
    kind, _, data = sound["src"].partition(",")
    assert kind == "data:audio/flac;base64" and "controls" in sound
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
    assert rate == made.sample_rate
    np.testing.assert_allclose(samples, made.audio, atol=2**-15)  # 16 bits
    assert made.text in page.text
    facts = next(text for text in page.text if "seed" in text)
    assert "voice alto · seed 7" in facts and f"{made.duration_s:.2f} s at 8000 Hz" in facts
    assert "temperature 0.7" in page.text and "temperature 0" in page.text


def test_the_waveform_has_the_extremes_of_the_samples():
    made = tone("hello", None, 1, SAMPLING)
    audio = np.zeros(8000, np.float32)
    audio[2000], audio[6000] = 0.5, -2.0  # louder than full scale: the picture shrinks
    (drawn,) = read(dataclasses.replace(made, audio=audio)).found["polygon"]
    points = np.array([pair.split(",") for pair in drawn["points"].split()], float)
    (x_top, top), (x_bottom, bottom) = points[points[:, 1].argmin()], points[points[:, 1].argmax()]
    assert (x_top, x_bottom) == (100, 300) and (top, bottom) == (32 - 8, 64)


def test_a_row_without_audio_says_so():
    nothing = dataclasses.replace(tone("hello", None, 1, {}), audio=np.zeros(0, np.float32))
    page = read(nothing)
    assert "no audio" in page.text and "audio" not in page.found


def test_nothing_is_fetched():
    made = tone("hello", None, 1, SAMPLING)._repr_html_()
    assert not re.search(r"https?:|//|@import|url\(", re.sub(r"base64,[^\']*", "", made))
