"""Streams of several pieces: voices, seeds, pauses, lengths, and what is refused."""

import numpy as np
import pytest

from tests import tiny

PAUSE = 20  # samples
OPTIONS = {"seed": 3, "pause_s": PAUSE / tiny.CONFIG.sample_rate}


@pytest.fixture(scope="module")
def bark():
    return tiny.make_bark()


def solo(bark, pieces, voice=None):
    """What `generate` gives for each piece, the first one's voice in all that follow."""
    rows = []
    for index, text in enumerate(pieces):
        anchor = rows[0] if rows and voice is None else voice
        rows.append(bark.generate(text, voice=anchor, seed=OPTIONS["seed"] + index))
    return rows


def test_pieces_follow_one_another_in_the_voice_of_the_first(bark):
    pieces = ["hello", "why", "no"]
    rows = solo(bark, pieces)
    assert all(row.audio.size for row in rows)
    stream = bark.stream_audio(pieces, **OPTIONS)
    lengths, chunks = [], []
    for chunk in stream:
        chunks.append(chunk)
        lengths.append(stream.n_samples)
    silence = np.zeros(PAUSE, np.float32)
    expected = np.concatenate([x for row in rows for x in (row.audio, silence)][:-1])
    np.testing.assert_array_equal(np.concatenate(chunks), expected)
    assert lengths[0] is None and lengths[-1] == stream.n_samples == len(expected)
    assert stream.generation.text == "no" and stream.generation.seed == 5


def test_a_long_text_is_cut_where_sentences_end(bark):
    text = "a b c. d e f. g h i. a b c. d e f. g h i."
    stream = bark.stream_audio(text, voice=tiny.make_voice(30), **OPTIONS)
    said = []
    for _ in stream:
        if stream.generation and stream.generation.text not in said:
            said.append(stream.generation.text)
    said.append(stream.generation.text)
    assert len(said) > 1 and " ".join(dict.fromkeys(said)).startswith("a b c. d e f.")
    assert stream.generation.seed > OPTIONS["seed"]


def test_pieces_may_come_one_by_one(bark):
    """Nothing is asked for before it is needed, and nothing is made before it is asked for."""
    asked = []

    def pieces():
        for text in ("hello", "why"):
            asked.append(text)
            yield text

    stream = bark.stream_audio(pieces(), **OPTIONS)
    assert not asked
    next(stream)
    assert asked == ["hello"]
    rest = list(stream)
    assert asked == ["hello", "why"] and rest and stream.n_samples


def test_a_closed_stream_ends(bark):
    stream = bark.stream_audio(["hello", "why"], **OPTIONS)
    next(stream)
    stream.close()
    assert list(stream) == []


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"mode": "fast"}, r"mode='fast' is not one of \('exact', 'low_latency'\)"),
        ({"pause_s": -1}, "pause_s=-1 is not allowed"),
        ({"seed": [1, 2]}, "one voice, one seed"),
        ({"seed": "a"}, "seed='a' is not allowed"),
        ({"voice": "nobody"}, "nobody"),
        ({"sampling": {"coarse": {"temperature": -1}}}, "sampling.coarse.temperature=-1"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_made(bark, arguments, message):
    with pytest.raises(ValueError, match=message):
        bark.stream_audio("hello", **arguments)
    with pytest.raises(TypeError, match="text must be a str or several, got int"):
        bark.stream_audio(5)
