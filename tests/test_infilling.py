"""A part of a generation made again, and forced tokens, which it rests on."""

import re

import numpy as np
import pytest

from bark_jax.hooks import Scale
from bark_jax.processors import Ban, Force, MinLength
from bark_jax.sampling_config import SamplingConfig, of_record
from bark_jax.stages import semantic_stream
from tests import tiny

L = tiny.LAYOUT
END = L.semantic_pad_token
STAGES = ("semantic", "coarse", "fine")
SAMPLING = {
    "semantic": {
        "max_duration_s": [None, 3.0, None],
        "processors": [[MinLength(23)], [Ban([END])], [MinLength(21)]],
    },
    "coarse": {"top_k": 5},
}
SPANS = [(1.0, 2.0), (0.0, 0.5), (1.62, 99.0)]


@pytest.fixture(scope="module")
def bark():
    return tiny.make_bark()


@pytest.fixture(scope="module")
def made(bark):
    rows = bark.generate(["hello", "a b c", "yes"], seed=[1, 2, 11], sampling=SAMPLING)
    assert {row.finish_reason for row in rows} == {"eos", "max_duration"}
    assert min(row.duration_s for row in rows) > 2
    return rows


def spans(row, start_s: float, end_s: float):
    """Of each stage, the first new token and the first kept one after it."""
    rates = {"semantic": 9.7, "coarse": 25, "fine": 25}
    for stage, rate_hz in rates.items():
        n = getattr(row, stage).shape[-1]
        yield stage, int(start_s * rate_hz), min(n, int(np.ceil(end_s * rate_hz)))


def test_all_but_the_span_is_kept_in_every_stage(bark, made):
    starts, ends = zip(*SPANS, strict=True)
    rows = bark.infill(made, starts, ends)
    for old, new, span in zip(made, rows, SPANS, strict=True):
        assert new.finish_reason == old.finish_reason and new.seed == old.seed + 1
        for stage, begin, end in spans(old, *span):
            a, b = getattr(old, stage), getattr(new, stage)
            np.testing.assert_array_equal(a[..., :begin], b[..., :begin], err_msg=stage)
            np.testing.assert_array_equal(a[..., end:], b[..., end:], err_msg=stage)
            assert (a[..., begin:end] != b[..., begin:end]).any(), stage
    alone = bark.infill(made[0], *SPANS[0])
    for stage in STAGES:
        np.testing.assert_array_equal(getattr(alone, stage), getattr(rows[0], stage))


def test_audio_is_equal_bit_by_bit_up_to_the_span(bark, made):
    """The codec decodes from left to right; what it carries over the span differs behind it."""
    new = bark.infill(made[0], 1.0, 2.0)
    n = 25 * tiny.CONFIG.codec.hop_length  # the first second
    np.testing.assert_array_equal(new.audio[:n], made[0].audio[:n])
    assert new.audio.shape == made[0].audio.shape
    np.testing.assert_array_equal(bark.decode(new.fine), new.audio)


def test_a_second_infilling_keeps_what_the_first_has_made(bark, made):
    first = bark.infill(made[0], 1.0, 2.0)
    second = bark.infill(first, 0.0, 0.5, seed=9)
    for stage, begin, _ in spans(made[0], 0.5, 1.0):
        begin += 1  # 0.5 s are inside a token, and inside a frame
        np.testing.assert_array_equal(
            getattr(second, stage)[..., begin:], getattr(first, stage)[..., begin:]
        )


def test_what_was_recorded_makes_the_same_again(bark, made):
    new = bark.infill(made[1], 1.0, 2.0, text="no")
    assert new.text == "no"
    again = bark.generate("no", seed=new.seed, sampling=new.settings["sampling"])
    np.testing.assert_array_equal(again.fine, new.fine)


def test_edits_are_given_again(bark, made):
    edits = [{"semantic.h.0.resid": Scale(0.5)}, None, {"coarse.embed": Scale(0)}]
    edited = bark.infill(made, 1.0, 2.0, edits=edits)
    sampling = SamplingConfig.of_rows([of_record(row.settings["sampling"]) for row in edited])
    seeds = [row.seed for row in edited]
    again = bark.generate([row.text for row in made], seed=seeds, sampling=sampling, edits=edits)
    plain = bark.infill(made, 1.0, 2.0)
    for with_edits, row, without in zip(edited, again, plain, strict=True):
        np.testing.assert_array_equal(with_edits.fine, row.fine)
        is_same = np.array_equal(with_edits.fine, without.fine)
        assert is_same == ("edits" not in with_edits.settings)
    for stage, begin, end in spans(made[0], 1.0, 2.0):
        now, was = getattr(edited[0], stage), getattr(made[0], stage)
        np.testing.assert_array_equal(now[..., :begin], was[..., :begin])
        np.testing.assert_array_equal(now[..., end:], was[..., end:])
    message = "edits=None, but the generation was made with edits of semantic.h.0.resid: want those"
    with pytest.raises(ValueError, match=re.escape(message)):
        bark.infill(edited[0], 0.0, 0.5)
    assert "edits" not in bark.infill(edited[0], 0.0, 0.5, edits={}).settings


def test_a_stage_that_is_told_no_tokens_is_named(bark, made):
    own = bark.with_stages(fine=lambda coarse, rows: coarse)
    with pytest.raises(ValueError, match=r"infill keeps tokens of Bark's own stages, not of \['f"):
        own.infill(made[0], 1.0, 2.0)


def test_what_is_forced_is_certain_as_it_was_drawn(bark, made):
    scores = bark.score(bark.infill(made[0], 1.0, 2.0), as_drawn=True)
    for stage, begin, end in spans(made[0], 1.0, 2.0):
        log_p = getattr(scores, stage)[..., :-1] if stage == "semantic" else getattr(scores, stage)
        log_p = log_p[L.n_coarse_codebooks :] if stage == "fine" else log_p
        assert (log_p[..., :begin] == 0).all() and (log_p[..., end:] == 0).all(), stage
        assert (log_p[..., begin:end] < 0).any(), stage


def test_another_span_compiles_nothing(bark, made, compilations):
    bark.infill(made[0], 1.0, 2.0)
    before = compilations()
    bark.infill(made[0], 0.3, 0.9)
    assert compilations() == before


@pytest.mark.parametrize(
    "start_s, end_s, message",
    [
        (2.0, 2.0, "start_s=2.0 is not before end_s=2.0"),
        (77.0, 99.0, "start_s=77.0 is not before end_s=99.0 and the end at"),
        (-1.0, 2.0, "start_s=-1.0 is not allowed; want a number >= 0"),
        (1.0, "b", "end_s='b' is not allowed; want a number >= 0"),
        ([1.0, 2.0], 3.0, "start_s has 2 entries, the batch has 1 rows"),
    ],
)
def test_what_is_wrong_with_a_span_is_named(bark, made, start_s, end_s, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        bark.infill(made[0], start_s, end_s)


@pytest.mark.parametrize("nothing", [None, [], "a.wav"])
def test_only_generations_have_parts(bark, nothing):
    with pytest.raises(ValueError, match="want a Generation or a list of them"):
        bark.infill(nothing, 0.0, 0.5)


PREFIX = [5, 7, 7, 1, 0, 3]
FORCED = [
    [Force(PREFIX)],
    [],
    [Force([*[-1] * 6, 4, -1, 9, END])],
    [Force([*PREFIX, END])],
]
OPTIONS = {
    "seed": [3, 4, 5, 6],
    "sampling": {"semantic": {"max_duration_s": 1.2, "processors": FORCED}},
}


def test_a_prefix_and_a_mask_are_kept_and_rows_and_streams_agree(bark, monkeypatch):
    texts = ["hello", "a b c", "yes", "no"]
    rows = bark.generate(texts, **OPTIONS)
    assert rows[0].semantic[:6].tolist() == PREFIX and len(rows[0].semantic) > 6
    masked = rows[2].semantic
    assert (len(masked), masked[6], masked[8], rows[2].finish_reason) == (9, 4, 9, "eos")
    assert rows[3].semantic.tolist() == PREFIX
    monkeypatch.setattr(semantic_stream, "STEPS_BETWEEN_LOOKS", 4)
    for i, row in bark.stream(texts, batch_rows=2, **OPTIONS):
        np.testing.assert_array_equal(row.fine, rows[i].fine)
    plain = bark.generate("a b c", seed=4, sampling={"semantic": {"max_duration_s": 1.2}})
    np.testing.assert_array_equal(plain.semantic, rows[1].semantic)


def test_an_end_that_may_not_be_is_not_forced(bark):
    sampling = {"allow_early_stop": False, "max_duration_s": 2.0, "processors": FORCED[3]}
    tokens = bark.semantic("hello", sampling={"semantic": sampling})
    assert tokens[:6].tolist() == PREFIX and len(tokens) > 6 and tokens.max() < END


@pytest.mark.parametrize(
    "ids, message",
    [
        ([[1, 2]], r"Force.ids has shape \(1, 8\), want \(N,\) in this stage"),
        ([51], "Force.ids runs from 51 to 51, want -1 … 50"),
        ([-2], "Force.ids runs from -2 to -2, want -1 … 50"),
        ([0.5], r"Force.ids of shape \(1,\) and dtype float64 is not allowed"),
    ],
)
def test_ids_that_cannot_be_forced_are_refused(bark, ids, message):
    with pytest.raises(ValueError, match=message):
        bark.semantic("hello", sampling={"semantic": {"processors": [Force(ids)]}})
