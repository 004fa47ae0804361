"""Stages of a user's own inside everything that generates."""

import numpy as np
import pytest

from bark_jax.hooks import Scale
from bark_jax.programs.points import load_model
from bark_jax.stages.own import named_stages
from bark_jax.sweeps.batches import generate_batched
from bark_jax.sweeps.settings import ModelSettings, PointSettings, PromptSettings
from tests import tiny

L = tiny.LAYOUT
TEXTS = ["hello", "a b c", "yes"]
OPTIONS = {
    "seed": [1, 2, 3],
    "voice": [tiny.make_voice(), None, None],
    "sampling": {"semantic": {"max_duration_s": 2.5}, "coarse": {"top_k": [3, 4, 5]}},
}
bark = tiny.make_bark()


def semantic(texts, rows):
    assert [row.text for row in rows] == texts
    return bark.semantic(texts, **of(rows, "semantic"))


def coarse(tokens, rows):
    return bark.coarse(tokens, **of(rows, "coarse"))


def fine(codes, rows):
    return bark.fine(codes, **of(rows, "fine"))


def codec(codes):
    return bark.decode(codes)


def of(rows, stage):
    """Arguments of Bark's own stage."""
    keys = {"semantic_prompt": "semantic", "coarse_prompt": "coarse", "fine_prompt": "fine"}
    voices = [
        row.voice and {key: getattr(row.voice, name) for key, name in keys.items()} for row in rows
    ]
    sampling = {name: [row.sampling[name] for row in rows] for name in rows[0].sampling}
    return {"seed": [row.seed for row in rows], "voice": voices, "sampling": {stage: sampling}}


@pytest.fixture(scope="module")
def plain():
    rows = bark.generate(TEXTS, **OPTIONS)
    assert all(row.audio.size for row in rows)
    return rows


OWN = {"semantic": semantic, "coarse": coarse, "fine": fine, "codec": codec}


def test_stages_that_do_what_barks_do_give_what_bark_gives(plain):
    """Each gets what Bark's own stage gets: inputs, voices, seeds, sampling values."""
    theirs = bark.with_stages(**OWN)
    streamed = dict(theirs.stream(TEXTS, batch_rows=2, **OPTIONS))
    for i, row in enumerate(theirs.generate(TEXTS, **OPTIONS)):
        for made in (row, streamed[i]):
            np.testing.assert_array_equal(made.semantic, plain[i].semantic)
            np.testing.assert_array_equal(made.fine, plain[i].fine)
            np.testing.assert_allclose(made.audio, plain[i].audio, atol=1e-5)  # sums in batches
        assert row.origin["own"] == dict.fromkeys(OWN, "function")


class Loud:
    """In place of the codec."""

    def __call__(self, codes):
        return [np.full(8 * row.shape[1], 0.5) for row in codes]


def test_the_others_stay_and_a_sound_that_is_heard_as_it_is_made_is_the_same(plain):
    loud = bark.with_stages(codec=Loud())
    stream = loud.stream_audio("a b c", seed=2, sampling={"semantic": {"max_duration_s": 2.5}})
    audio = np.concatenate(list(stream))
    np.testing.assert_array_equal(audio, np.full(8 * stream.generation.fine.shape[1], 0.5, "f4"))
    np.testing.assert_array_equal(stream.generation.semantic, plain[1].semantic)


def test_a_sweep_finds_them_by_name(monkeypatch):
    monkeypatch.setattr("bark_jax.programs.points.Bark.from_pretrained", lambda *a, **k: bark)
    model = ModelSettings(stages=(f"codec={__name__}:Loud",))
    short = {"semantic": {"max_duration_s": 1.0}}
    points = [
        PointSettings(model=model, prompts=PromptSettings(text=text), sampling=short)
        for text in TEXTS[:2]
    ]
    for _, made in generate_batched(load_model.__wrapped__, points):
        assert set(made[1].audio.tolist()) == {0.5}
        assert made[1].origin["own"] == {"codec": "Loud"}


@pytest.mark.parametrize(
    "stages, message",
    [
        ({"semantic": lambda texts, rows: [[1, 50]]}, r"gave int64 of shape \(2,\) for row 0"),
        ({"semantic": lambda texts, rows: []}, "in place of semantic gave 0 rows, want 1"),
        ({"coarse": lambda given, rows: [[[0.5]] * 3]}, r"want integers \(3, T\) in 0 … 19"),
        ({"fine": lambda given, rows: [np.zeros((5, 1), int)]}, "in place of fine gave 1 frames"),
        ({"codec": lambda codes: [[1, 2]]}, r"in place of codec gave int64 of shape \(2,\)"),
    ],
)
def test_what_is_no_output_of_the_stage_is_named(stages, message):
    with pytest.raises(ValueError, match=message):
        bark.with_stages(**stages).generate("hello", seed=1)


def test_what_is_no_stage_is_refused():
    with pytest.raises(ValueError, match="coarse=3 cannot be called; want a stage"):
        bark.with_stages(coarse=3)
    with pytest.raises(ValueError, match="noise is for Bark's own coarse stage"):
        bark.with_stages(coarse=coarse).coarse(np.arange(5), noise=np.zeros((99, 20)))
    for hooks in ({"edits": {"coarse.embed": Scale(0)}}, {"trace": "coarse.embed"}):
        with pytest.raises(ValueError, match="edits and trace are for Bark's own coarse stage"):
            bark.with_stages(coarse=coarse).generate("hello", **hooks)
    with pytest.raises(ValueError, match=r"stage coarse 'no\.module:Name' is not to be had: No"):
        named_stages(["coarse=no.module:Name"])
    with pytest.raises(ValueError, match=r"'coarse=pathlib:PurePath\.match' cannot be made"):
        named_stages(["coarse=pathlib:PurePath.match"])
