"""Guidance between two conditions: texts, voices, models."""

import dataclasses
import re

import numpy as np
import pytest

from bark_jax import Guidance
from bark_jax.pipeline import Bark
from bark_jax.stages import semantic_stream
from tests import tiny

L = tiny.LAYOUT
GREEDY = {
    "semantic": {"temperature": 0, "max_duration_s": 0.7},
    "coarse": {"temperature": 0},
    "fine": {"temperature": 0},
}
SHORT = {"semantic": {"max_duration_s": 0.7}}


def tokens_equal(got, want, stages=("semantic", "coarse", "fine")):
    for stage in stages:
        np.testing.assert_array_equal(getattr(got, stage), getattr(want, stage), err_msg=stage)


@pytest.fixture(scope="module")
def bark():
    return tiny.make_bark()


@pytest.fixture(scope="module")
def small():
    """Another model of the same tokens: one layer less, and narrower."""
    config = dataclasses.replace(
        tiny.CONFIG,
        semantic=dataclasses.replace(tiny.CONFIG.semantic, n_layer=1, n_embd=8),
        coarse=dataclasses.replace(tiny.CONFIG.coarse, n_layer=1, n_embd=24),
    )
    own = tiny.make_bark()
    params = {
        stage: dataclasses.replace(
            own.runner.params[stage],
            load=lambda stage=stage: tiny.random_params(
                tiny.MODULES[stage], getattr(config, stage), tiny.F32, seed=9
            ),
        )
        for stage in ("semantic", "coarse")
    }
    runner = dataclasses.replace(own.runner, config=config, params={**own.runner.params, **params})
    return Bark(runner, own.voices)


def conditions(small) -> dict[str, Guidance]:
    return {
        "text": Guidance(text="no"),
        "voice": Guidance(voice=tiny.make_voice(seed=5)),
        "no voice": Guidance(voice=None),
        "text and voice": Guidance(text="no", voice=None),
        "model": Guidance(model=small),
        "model and text": Guidance(model=small, text="no"),
    }


NAMES = ["text", "voice", "no voice", "text and voice", "model", "model and text"]


@pytest.mark.parametrize("name", NAMES)
def test_a_scale_of_1_is_plain_decoding_and_0_the_other_condition(bark, small, name):
    guidance = conditions(small)[name]
    own = {"voice": tiny.make_voice(), "seed": 3, "sampling": SHORT}
    plain = bark.generate("hello", **own)
    tokens_equal(bark.generate("hello", guidance=guidance, **own), plain)
    other = guidance.model or bark
    theirs = {**own, "voice": own["voice"] if guidance.voice is not None else None}
    if isinstance(guidance.voice, dict):
        theirs["voice"] = guidance.voice
    text = guidance.text if isinstance(guidance.text, str) else "hello"
    at_0 = dataclasses.replace(guidance, scale=0.0)
    got = bark.generate("hello", guidance=at_0, **own)
    # a text is no condition of the coarse stage, and none of the fine stage is guided
    tokens_equal(got, other.generate(text, **theirs), ["semantic", "coarse"])
    assert len(plain.semantic) and not np.array_equal(got.semantic, plain.semantic)


def test_tokens_are_the_likeliest_of_both_conditions_teacher_forced(bark, small):
    """Against scores of the finished tokens under each condition by itself."""
    voice, other, scale = tiny.make_voice(), tiny.make_voice(seed=5), 2.5
    guidance = Guidance(text="no", voice=other, model=small, scale=scale)
    made = bark.generate("hello", voice=voice, sampling=GREEDY, guidance=guidance)
    known = {"semantic": made.semantic, "coarse": made.coarse, "details": ["logits"]}
    own = bark.score(text="hello", voice=voice, **known).details["logits"]
    theirs = small.score(text="no", voice=other, **known).details["logits"]
    for stage, drawn in (("semantic", made.semantic), ("coarse", made.coarse)):
        a, b = np.asarray(own[stage]), np.asarray(theirs[stage])
        best = np.argmax(b + scale * (a - b), axis=-1)
        if stage == "semantic":
            best = best[: len(drawn)]
        np.testing.assert_array_equal(best, drawn, err_msg=stage)
    tokens_differ = bark.generate("hello", voice=voice, sampling=GREEDY).semantic
    assert not np.array_equal(made.semantic, tokens_differ)


TEXTS = ["hello", "a b c", "yes", "no", "why"]
SEEDS = [3, 4, 5, 6, 7]
VOICES = [tiny.make_voice(), None, tiny.make_voice(seed=2), None, None]
MIXED = [
    Guidance(text="", scale=1.5),
    None,
    Guidance(voice=None, scale=2),
    {"text": "a", "scale": 3.0},
    Guidance(voice=tiny.make_voice(seed=5), text="", scale=-0.5),
]


def check_rows(bark, rows, guidance):
    for i, row in rows.items():
        options = {"voice": VOICES[i], "seed": SEEDS[i], "sampling": SHORT}
        tokens_equal(row, bark.generate(TEXTS[i], guidance=guidance[i], **options))


def test_rows_of_a_batch_and_of_a_stream_give_their_solo_result(bark, monkeypatch):
    monkeypatch.setattr(semantic_stream, "STEPS_BETWEEN_LOOKS", 4)
    options = {"voice": VOICES, "seed": SEEDS, "sampling": SHORT, "guidance": MIXED}
    check_rows(bark, dict(enumerate(bark.generate(TEXTS, **options))), MIXED)
    check_rows(bark, dict(bark.stream(TEXTS, batch_rows=2, **options)), MIXED)


def test_a_stream_guided_by_a_model_gives_the_solo_results(bark, small, monkeypatch):
    monkeypatch.setattr(semantic_stream, "STEPS_BETWEEN_LOOKS", 4)
    guidance = Guidance(model=small, scale=[1.0, 1.5, 2.0, 0.5, 3.0])
    options = {"voice": VOICES, "seed": SEEDS, "sampling": SHORT, "guidance": guidance}
    each = [Guidance(model=small, scale=scale) for scale in guidance.scale]
    check_rows(bark, dict(bark.stream(TEXTS, batch_rows=2, **options)), each)


def test_a_new_scale_compiles_nothing(bark, compilations):
    def speak(scale, text):
        guidance = Guidance(text=text, voice=None, scale=scale)
        options = {"voice": tiny.make_voice(), "seed": [3, 4], "sampling": SHORT}
        return bark.generate(["hello", "yes"], guidance=guidance, **options)

    speak(1.5, "")
    before = compilations()
    speak([0.0, 3], "no")
    assert compilations() == before


def test_what_was_recorded_makes_the_same_again(bark):
    made = bark.generate("hello", seed=1, sampling=SHORT, guidance=Guidance(text="", scale=2))
    assert made.settings["guidance"] == {"text": "", "scale": 2}
    assert "guidance" not in bark.generate("hello", seed=1, sampling=SHORT).settings
    again = bark.generate("hello", seed=1, sampling=SHORT, guidance=made.settings["guidance"])
    tokens_equal(again, made)


@pytest.mark.parametrize(
    "guidance, message",
    [
        ({"scale": 2}, "guidance names no other condition: want text, voice or model"),
        ({"text": "", "strength": 2}, "guidance: Guidance has no field ['strength']"),
        ({"text": "", "scale": float("nan")}, "guidance.scale=nan is not allowed; want a number"),
        ({"text": "", "scale": [1, "a"]}, "guidance.scale='a' is not allowed; want a number"),
        ({"text": 3}, "guidance.text=3 is not allowed; want a text"),
        (2.0, "guidance wants a Guidance, a dict or None, got 2.0"),
        ({"model": "nano"}, "guidance.model='nano' is no Bark"),
        ([None], "lists want one entry per row and equal lengths"),
        ({"text": "", "scale": [1, 2, 3]}, "lists want one entry per row and equal lengths"),
    ],
)
def test_what_is_wrong_is_named(bark, guidance, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        bark.generate(["hello", "yes"], guidance=guidance)


def test_a_model_of_other_tokens_is_refused(bark):
    tokens = dataclasses.replace(L, coarse_window=10)
    runner = dataclasses.replace(
        bark.runner, config=dataclasses.replace(tiny.CONFIG, tokens=tokens)
    )
    other = Bark(runner, bark.voices)
    with pytest.raises(ValueError, match="has another token layout"):
        bark.generate("hello", guidance=Guidance(model=other))
    mixed = [Guidance(model=bark), Guidance(text="")]
    with pytest.raises(ValueError, match="model differs between the rows"):
        bark.generate(["hello", "yes"], guidance=mixed)
