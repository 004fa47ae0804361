"""One value or one per row: what makes a batch, and what is refused, with the message."""

import dataclasses
import re

import numpy as np
import pytest

from bark_jax.batching import Batch, as_rows, seeds_of
from bark_jax.config import TokenLayout
from bark_jax.sampling_config import (
    BARK,
    MODEL,
    FineSampling,
    SamplingConfig,
    SemanticSampling,
    of_record,
    per_row,
    recorded,
)
from bark_jax.stages.checks import check_coarse_context, check_codes, check_semantic

LAYOUT = TokenLayout()


def batch(**kwargs) -> Batch:
    sampling = SamplingConfig.of(kwargs.pop("sampling", None)).over(BARK)
    return Batch.of(**{"text": "a", "voice": None, "seed": 0, "sampling": sampling, **kwargs})


@pytest.mark.parametrize(
    "kwargs, n_rows, is_list",
    [
        ({}, 1, False),
        ({"text": ["a"]}, 1, True),
        ({"text": ["a", "b"]}, 2, True),
        ({"seed": [1, 2, 3]}, 3, True),
        ({"seed": np.arange(3)}, 3, True),
        ({"seed": np.int64(3)}, 1, False),
        ({"seed": [np.int64(3), np.uint8(4)]}, 2, True),
        ({"sampling": {"semantic": {"top_k": [np.int64(5), None]}}}, 2, True),
        ({"sampling": {"coarse": {"temperature": [np.float32(0.5), 1]}}}, 2, True),
        ({"voice": [None, "announcer"]}, 2, True),
        ({"sampling": {"fine": {"temperature": [0.1, 0.2]}}}, 2, True),
        ({"text": ["a", "b"], "seed": [1, 2], "voice": "x"}, 2, True),
        ({"text": None, "data": as_rows("x", np.zeros((4, 3)), 1)}, 4, True),
    ],
)
def test_rows_come_from_whatever_is_a_list(kwargs, n_rows, is_list):
    got = batch(**kwargs)
    assert (got.n_rows, got.is_list) == (n_rows, is_list)
    assert len(got.texts) == len(got.seeds) == len(got.voices) == n_rows


@pytest.mark.parametrize(
    "kwargs",
    [
        {"text": ["a", "b"], "seed": [1, 2, 3]},
        {"text": ["a", "b"], "voice": ["x"]},
        {"text": ["a", "b"], "sampling": {"coarse": {"top_k": [1, 2, 3]}}},
        {"text": []},
        {"seed": []},
        {"text": None, "data": as_rows("x", np.zeros((4, 3)), 1), "seed": [1]},
    ],
)
def test_lists_of_unequal_lengths_are_refused(kwargs):
    with pytest.raises(ValueError, match="lists want one entry per row and equal lengths, got"):
        batch(**kwargs)


def test_the_lengths_are_named():
    with pytest.raises(ValueError, match=re.escape("{'text': 2, 'sampling.fine.temperature': 3}")):
        batch(text=["a", "b"], sampling={"fine": {"temperature": [0, 0, 0]}})


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, "1", None, True, [1, -1], np.float32(1)])
def test_wrong_seeds_are_refused(seed):
    with pytest.raises(ValueError, match=r"seed=.* is not allowed; want a whole number in 0 … 2"):
        batch(seed=seed)


def test_largest_seed():
    assert seeds_of(2**64 - 1, 2) == [2**64 - 1] * 2


@pytest.mark.parametrize(
    "value, ndim, n_rows, is_batch",
    [
        ([1, 2, 3], 1, 1, False),
        (np.zeros(3), 1, 1, False),
        ([np.zeros(3), np.zeros(5)], 1, 2, True),
        (np.zeros((4, 3)), 1, 4, True),
        (np.zeros((2, 3)), 2, 1, False),
        ([[1, 2], [3, 4]], 2, 1, False),
        ([np.zeros((2, 3)), np.zeros((2, 5))], 2, 2, True),
    ],
)
def test_as_rows_tells_a_batch_from_one(value, ndim, n_rows, is_batch):
    rows, got = as_rows("x", value, ndim)
    assert (len(rows), got) == (n_rows, is_batch)
    assert all(np.ndim(row) == ndim for row in rows)


@pytest.mark.parametrize("value", [3, np.zeros((2, 2, 2, 2))])
def test_as_rows_refuses_other_ranks(value):
    with pytest.raises(ValueError, match=r"x has \d axes, want 2 \(or a list of such arrays\)"):
        as_rows("x", value, 2)


def test_settings_are_those_of_the_row():
    got = batch(
        text=["a", "b"],
        voice=["announcer", {"semantic_prompt": 1}],
        sampling={"semantic": {"temperature": [0.1, 0.2]}},
    )
    assert got.settings(0)["voice"] == "announcer"
    assert got.settings(1)["voice"] == "dict"
    assert got.settings(1)["sampling"]["semantic"]["temperature"] == 0.2
    assert got.settings(1)["sampling"]["fine"] == {"temperature": 0.5}


def test_barks_values_are_those_of_the_original():
    assert recorded(BARK.plain()) == {
        "semantic": {
            "temperature": 0.7, "top_k": None, "top_p": None, "min_eos_p": 0.2,
            "max_duration_s": None, "allow_early_stop": True,
        },
        "coarse": {"temperature": 0.7, "top_k": None, "top_p": None},
        "fine": {"temperature": 0.5},
    }  # fmt: skip


def test_only_what_is_given_counts():
    given = SamplingConfig(semantic=SemanticSampling(top_p=None, temperature=[0.1, MODEL]))
    own = SamplingConfig.of(
        {"semantic": {"temperature": 0.4, "top_p": 0.9}, "coarse": {"top_k": 5}}
    )
    values = given.over(own).over(BARK)
    assert values.semantic.temperature == [0.1, 0.4]
    assert values.semantic.top_p is None  # given: all tokens, whatever the model prefers
    assert (values.coarse.top_k, values.coarse.temperature) == (5, 0.7)
    assert SamplingConfig.of(own.plain()) == own  # what is left open stays open


def test_left_to_the_model_is_no_value_of_a_batch():
    with pytest.raises(ValueError, match=r"semantic\.temperature='model' is not allowed"):
        SamplingConfig().per_row(1)


def test_rows_that_lack_a_value_leave_it_to_the_model():
    rows = [{"semantic": {"temperature": 0.1}}, {"coarse": {"processors": [{"MinP": 0.1}]}}]
    values = SamplingConfig.of_rows(rows).over(BARK).per_row(2)
    assert values["semantic"]["temperature"] == [0.1, 0.7]
    assert [len(chain.processors) for chain in values["coarse"]["processors"]] == [0, 1]
    assert [len(chain.processors) for chain in values["fine"]["processors"]] == [0, 0]


def test_what_a_record_leaves_out_is_barks():
    kept = recorded(SamplingConfig.of({"semantic": {"temperature": 0.3}}).over(BARK).plain())
    assert "processors" not in kept["semantic"]
    assert of_record(kept) == SamplingConfig.of(kept).over(BARK).plain()
    assert of_record({"semantic": {"temperature": 0.3}}) == of_record(kept)


def test_one_value_or_one_per_row():
    sampling = dataclasses.replace(BARK.semantic, temperature=[0.1, 0.2], top_k=np.int64(3))
    rows = per_row("semantic", sampling, 2)
    assert rows["temperature"] == [0.1, 0.2]
    assert rows["top_k"] == [3, 3]
    assert rows["min_eos_p"] == [0.2, 0.2]


@pytest.mark.parametrize(
    "field, value",
    [
        ("temperature", -0.1), ("temperature", float("nan")), ("temperature", float("inf")),
        ("temperature", None), ("temperature", "0.7"), ("temperature", True),
        ("top_k", 0), ("top_k", -1), ("top_k", 2.0), ("top_k", True),
        ("top_p", 1.1), ("top_p", -0.1), ("top_p", float("nan")),
        ("min_eos_p", 1.5), ("min_eos_p", -1), ("max_duration_s", -1),
        ("max_duration_s", float("nan")), ("allow_early_stop", None), ("allow_early_stop", 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("as_list", [False, True])
def test_sampling_values_out_of_range_are_refused(field, value, as_list):
    good = getattr(BARK.semantic, field)
    sampling = dataclasses.replace(BARK.semantic, **{field: [good, value] if as_list else value})
    with pytest.raises(ValueError, match=rf"sampling\.semantic\.{field}=.* is not allowed; want"):
        per_row("semantic", sampling, 2)


def test_sampling_lists_of_the_wrong_length_are_refused():
    with pytest.raises(ValueError, match=r"sampling\.fine\.temperature has 3 entries, .* 2 rows"):
        per_row("fine", FineSampling(temperature=[0.1, 0.2, 0.3]), 2)


@pytest.mark.parametrize(
    "value, message",
    [
        (
            {"semantic": {"temprature": 0.5}},
            r"sampling: semantic: SemanticSampling has no field \['tempr",
        ),
        ({"corse": {}}, r"sampling: SamplingConfig has no field \['corse'\]; it has"),
        ({"fine": {"top_k": 3}}, r"FineSampling has no field \['top_k'\]"),
        ({"semantic": 0.5}, "sampling: semantic wants a dict of values, got 0.5"),
        ({"fine": SemanticSampling()}, "sampling: fine wants a dict of values, got SemanticS"),
    ],
)
def test_unknown_sampling_fields_are_named(value, message):
    with pytest.raises(ValueError, match=message):
        SamplingConfig.of(value)


@pytest.mark.parametrize("value", [0.7, [1], "x"])
def test_sampling_of_another_type_is_refused(value):
    with pytest.raises(TypeError, match="sampling wants a SamplingConfig or a dict, got"):
        SamplingConfig.of(value)


@pytest.mark.parametrize(
    "value, message",
    [
        (np.zeros(0, int), r"semantic is empty: its shape is \(0,\)"),
        (np.zeros(3), "semantic has dtype float64, want integers"),
        (np.zeros(3, bool), "semantic has dtype bool, want integers"),
        (np.array([0, 10_000]), "semantic has values 0 … 10000, want 0 … 9999"),
        (np.array([-1, 3]), "semantic has values -1 … 3"),
        (np.zeros((2, 3), int), r"semantic has shape \(2, 3\), want \(N,\)"),
    ],
)
def test_unfit_semantic_tokens_are_refused(value, message):
    with pytest.raises(ValueError, match=message):
        check_semantic(value, LAYOUT)


@pytest.mark.parametrize(
    "value, message",
    [
        (np.zeros((8, 3), int), r"coarse has shape \(8, 3\), want \(1 … 7, T\)"),
        (np.zeros(3, int), r"coarse has shape \(3,\)"),
        (np.zeros((2, 0), int), r"coarse is empty: its shape is \(2, 0\)"),
        (np.full((2, 3), 1024), "coarse has values 1024 … 1024, want 0 … 1023"),
        (np.zeros((2, 3)), "coarse has dtype float64"),
    ],
)
def test_unfit_codes_are_refused(value, message):
    with pytest.raises(ValueError, match=message):
        check_codes("coarse", value, LAYOUT, 1, 7)


@pytest.mark.parametrize(
    "max_history, window, message",
    [
        (59, None, "max_history=59 is not in 60 … 630"),
        (631, None, "max_history=631 is not in 60 … 630"),
        (630, 0, "window=0 is not in 1 … 138"),
        (630, 139, r"window=139 is not in 1 … 138 \(max_history \+ window <= 768\)"),
        (60, 709, "window=709 is not in 1 … 708"),
        (60.5, None, "max_history=60.5 is not a whole number"),
        (60, 1.5, "window=1.5 is not a whole number"),
    ],
)
def test_coarse_contexts_out_of_range_are_refused(max_history, window, message):
    with pytest.raises(ValueError, match=message):
        check_coarse_context(max_history, window, LAYOUT)


def test_coarse_context_defaults():
    assert check_coarse_context(None, None, LAYOUT) == {"max_history": 630, "window": 60}
    assert check_coarse_context(60, 708, LAYOUT) == {"max_history": 60, "window": 708}
