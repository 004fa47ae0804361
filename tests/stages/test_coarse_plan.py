"""The window arithmetic of the coarse stage: every worked table, and against plain floats."""

import dataclasses
import math

import numpy as np
import pytest

from bark_jax.config import TokenLayout
from bark_jax.stages.coarse_plan import CoarsePlan, flatten, make_plan, segments, unflatten
from tests import tiny

LAYOUT = TokenLayout()


def plan_of(n_semantic: int, voice: tuple[int, int] | None = None, max_history: int = 630):
    """A plan for `n_semantic` tokens, after a voice of so many semantic tokens and frames.

    Semantic tokens count up from 0, so that a context says where it begins.
    """
    history = None
    if voice is not None:
        n_history, n_frames = voice
        history = (np.arange(n_history), np.zeros((2, n_frames), np.int64))
    return make_plan(np.arange(n_semantic), history, LAYOUT, max_history)


@pytest.mark.parametrize(
    "n_semantic, n_tokens, n_windows",
    [
        (1, 2, 1), (2, 6, 1), (3, 8, 1), (50, 150, 3), (100, 300, 5), (137, 410, 7), (200, 600, 10),
        (256, 768, 13), (300, 900, 15), (499, 1500, 25), (512, 1538, 26), (768, 2308, 39),
    ],
)  # fmt: skip
def test_number_of_tokens_and_windows(n_semantic, n_tokens, n_windows):
    assert plan_of(n_semantic).n_tokens == n_tokens
    assert len(range(0, n_tokens, LAYOUT.coarse_window)) == n_windows


def test_exact_fractions_give_what_the_floats_of_the_original_give():
    ratio = 75 / 49.9 * 2
    for n_semantic in range(1, 769):
        n_tokens = plan_of(n_semantic).n_tokens
        assert n_tokens == round(math.floor(n_semantic * ratio / 2) * 2)
    for max_history in range(60, 631):
        plan = plan_of(768, max_history=max_history)
        for n_done in range(0, plan.n_tokens, 7):
            first = max(0, round(n_done / ratio) - math.floor(max_history / ratio))
            assert plan.starts(n_done) == (first, max(0, n_done - max_history))


@pytest.mark.parametrize(
    "voice, max_history, n_semantic, n_coarse",
    [
        ((2, 3), 630, 1, 1), ((10, 15), 630, 9, 25), ((11, 17), 630, 10, 28),
        ((158, 237), 630, 157, 470), ((191, 287), 630, 190, 569), ((209, 314), 630, 208, 623),
        ((210, 315), 630, 209, 626), ((309, 464), 630, 209, 626), ((499, 750), 630, 209, 626),
        ((731, 1098), 630, 209, 626), ((209, 314), 60, 19, 55), ((210, 315), 60, 19, 55),
        ((309, 464), 60, 19, 55), ((499, 750), 60, 19, 55), ((731, 1098), 60, 19, 55),
    ],
)  # fmt: skip
def test_history_is_trimmed(voice, max_history, n_semantic, n_coarse):
    plan = plan_of(10, voice, max_history)
    assert plan.n_history == n_semantic
    assert len(plan.history) == n_coarse
    # it is the end of the history that stays
    np.testing.assert_array_equal(
        plan.semantic[:n_semantic], np.arange(voice[0] - n_semantic, voice[0])
    )


# (tokens done, first semantic token shown, semantic tokens shown, coarse tokens shown)
TRACES = [
    (137, None, 630, [(0, 0, 137, 0), (60, 0, 137, 60), (120, 0, 137, 120), (360, 0, 137, 360)]),
    (768, None, 630, [
        (600, 0, 256, 600), (660, 11, 256, 630), (720, 31, 256, 630), (780, 50, 256, 630),
        (2160, 510, 256, 630), (2220, 530, 238, 630), (2280, 549, 219, 630),
    ]),
    (137, (309, 464), 630, [
        (0, 0, 256, 626), (60, 20, 256, 630), (240, 80, 256, 630), (300, 100, 246, 630),
        (360, 120, 226, 630),
    ]),
    (137, (158, 237), 630, [
        (0, 0, 256, 470), (120, 0, 256, 590), (180, 8, 256, 630), (300, 48, 246, 630),
        (360, 68, 226, 630),
    ]),
    (137, None, 60, [(0, 0, 137, 0), (60, 1, 136, 60), (120, 21, 116, 60), (360, 101, 36, 60)]),
]  # fmt: skip


@pytest.mark.parametrize("n_semantic, voice, max_history, trace", TRACES)
def test_windows(n_semantic, voice, max_history, trace):
    plan = plan_of(n_semantic, voice, max_history)
    for n_done, first, n_shown, n_coarse in trace:
        context = plan.context(np.full(n_done, LAYOUT.coarse_offset(0), np.int32))
        assert plan.starts(n_done)[0] == first
        shown = context[:256] != LAYOUT.coarse_semantic_pad_token
        assert shown.sum() == n_shown
        np.testing.assert_array_equal(context[:n_shown], plan.semantic[first : first + n_shown])
        assert context[256] == LAYOUT.coarse_infer_token
        assert len(context) - 257 == n_coarse


def test_longest_input_fits_the_position_table():
    plan = plan_of(768, (731, 1098))
    longest = max(len(plan.context(np.zeros(n, np.int32))) for n in range(0, plan.n_tokens, 60))
    assert longest == 887
    assert longest + 59 == 946 <= 1024


def test_flatten_interleaves_frames():
    codes_QT = np.array([[1, 2, 3], [4, 5, 6]])
    flat = flatten(codes_QT, LAYOUT)
    np.testing.assert_array_equal(flat, [10_001, 11_028, 10_002, 11_029, 10_003, 11_030])
    np.testing.assert_array_equal(unflatten(flat, LAYOUT), codes_QT)


def test_flatten_takes_any_number_of_codebooks():
    codes_QT = np.arange(12).reshape(3, 4)
    flat = flatten(codes_QT, tiny.LAYOUT)
    np.testing.assert_array_equal(flat[:3], [50 + 0, 70 + 4, 90 + 8])
    np.testing.assert_array_equal(unflatten(flat, tiny.LAYOUT), codes_QT)


def windows_of(plan: CoarsePlan, window: int) -> list[int]:
    return list(range(0, plan.n_tokens, window))


@pytest.mark.parametrize("voice", [None, (10, 15), (309, 464)])
@pytest.mark.parametrize("n_semantic", [1, 20, 137, 500])
@pytest.mark.parametrize("window", [60, 37])
def test_a_segment_ends_where_the_context_loses_its_beginning(n_semantic, voice, window):
    """Exactly there: a later end would change tokens, an earlier one would waste a reading."""
    plan = plan_of(n_semantic, voice)
    parts = list(segments([plan], window))
    assert [begin for begin, _ in parts] == list(np.cumsum([0, *(n for _, n in parts)])[:-1])
    assert sum(n for _, n in parts) == plan.n_tokens
    begins = {begin for begin, _ in parts}
    for before, at in zip(windows_of(plan, window), windows_of(plan, window)[1:], strict=False):
        assert (at in begins) == (plan.starts(at) != plan.starts(before))


def test_no_history_reads_the_context_once_while_all_of_it_fits():
    assert list(segments([plan_of(137)], 60)) == [(0, 410)]


def test_segments_of_a_batch_cover_every_row():
    plans = [plan_of(20), plan_of(137, (309, 464)), plan_of(137)]
    parts = list(segments(plans, 60))
    assert parts == [(0, 60), (60, 60), (120, 60), (180, 60), (240, 60), (300, 60), (360, 50)]


def test_no_tokens_no_segments():
    plan = dataclasses.replace(plan_of(1), n_tokens=0)
    assert list(segments([plan], 60)) == []
