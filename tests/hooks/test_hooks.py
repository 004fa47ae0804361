"""Traces and edits of a whole `Bark`: what they read, what they change, and what they leave."""

import re

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bark_jax.formulations.products import gelu
from bark_jax.hooks import Add, Replace, Scale
from bark_jax.models.binding import bind
from bark_jax.models.gpt import GPT
from bark_jax.models.layers import Attention, Block
from tests import tiny

L = tiny.LAYOUT
Q = L.n_coarse_codebooks
TEXTS = ["hello", "a b c", "yes"]
VOICES = [None, tiny.make_voice(30), None]
SEEDS = [3, 4, 5]
SAMPLING = {"semantic": {"max_duration_s": [1.1, 0.6, 1.2], "min_eos_p": None}}
STAGES = ("semantic", "coarse", "fine")
DRAWN = ["semantic.**", "coarse.**"]
RNG = np.random.default_rng(0)
ALL = dict(voice=VOICES, seed=SEEDS, sampling=SAMPLING)


@pytest.fixture(scope="module")
def bark():
    return tiny.make_bark()


@pytest.fixture(scope="module")
def made(bark):
    return bark.generate(TEXTS, trace=DRAWN, **ALL)


@pytest.fixture(scope="module")
def traces(bark, made):
    return bark.trace(made, names="**", voice=VOICES)


def tokens(generation) -> list[list[int]]:
    return [getattr(generation, stage).ravel().tolist() for stage in STAGES]


def test_a_trace_has_the_axes_that_are_listed(bark, made, traces):
    for one, trace in zip(made, traces, strict=True):
        assert list(trace) == list(bark.trace_names())
        N, T = len(one.semantic), one.coarse.shape[1]
        for name, axes in bark.trace_names().items():
            stage = name.partition(".")[0]
            sizes = {
                "step": N + 1 if stage == "semantic" else Q * T,
                "codebook": L.n_fine_codebooks,
                "frame": T,
                "position": {
                    "semantic": L.text_length + 1 + N,
                    "coarse": tiny.CONFIG.coarse.block_size,
                    "fine": L.fine_window,
                }[stage],
            }
            assert trace[name].shape == tuple(sizes.get(axis, axis) for axis in axes), name
            known = trace[name][Q:] if stage == "fine" else trace[name]
            assert trace[name].dtype == np.float32 and np.isfinite(known).all(), name
    assert np.isnan(traces[0]["fine.embed"][:Q]).all()  # the codebooks that are given


def test_decoding_computes_what_a_pass_over_its_tokens_does(made, traces):
    """Cached steps, segments and all: what is kept while tokens are drawn, and read afterwards."""
    assert max(one.coarse.size for one in made) > 2 * L.coarse_window
    for one, trace in zip(made, traces, strict=True):
        assert len(one.trace) == 2 * (2 + 8 * 2)  # stages, layers; no weights
        for name, values in one.trace.items():
            drawn = ~np.isnan(values).any(tuple(range(1, values.ndim)))
            assert drawn[: len(one.semantic)].all()
            # activations near 10, in float32, summed in another order
            np.testing.assert_allclose(values[drawn], trace[name][drawn], atol=1e-4, err_msg=name)


def test_weights_mix_the_values(traces):
    """Attention weights are those of the pass: with the values they give what heads gather."""
    trace = traces[0]
    weights_THM = trace["fine.h.0.attn.weights"][Q]
    np.testing.assert_allclose(weights_THM.sum(-1), 1, atol=1e-5)
    weights_NHM = trace["semantic.h.1.attn.weights"]
    np.testing.assert_allclose(weights_NHM.sum(-1), 1, atol=1e-5)
    n, first = len(weights_NHM), L.text_length
    assert not np.triu(weights_NHM[:, 0, first:], 1).any()  # nothing of what comes later
    assert weights_NHM.shape == (n, 2, first + n) and weights_NHM[:, :, :first].any()


def test_a_pattern_stacks_its_layers(traces):
    trace = traces[0]
    stacked = trace["semantic.h.*.resid"]
    np.testing.assert_array_equal(stacked[1], trace["semantic.h.1.resid"])
    assert stacked.shape == (2, *trace["semantic.h.0.resid"].shape)
    with pytest.raises(KeyError, match="different shapes"):
        trace["semantic.**"]
    with pytest.raises(KeyError, match=re.escape("'semantic.h.7.resid' is not in the trace")):
        trace["semantic.h.7.resid"]


def test_a_row_without_tokens_has_the_trace_of_its_end(bark):
    nothing = np.zeros(0, np.int32)
    known = dict(text="hello", semantic=nothing, coarse=np.zeros((Q, 0), np.int32))
    trace = bark.trace(names=["semantic.h.0.resid", "coarse.h.*.attn.q"], **known)
    assert trace["semantic.h.0.resid"].shape == (1, tiny.CONFIG.semantic.n_embd)
    assert trace["coarse.h.*.attn.q"].shape == (2, 0, 3, 6)


def test_rows_give_their_solo_traces(bark, made, traces):
    solo = bark.trace(made[1], names=["**.resid", "coarse.h.0.attn.weights"], voice=VOICES[1])
    for name, values in solo.items():
        np.testing.assert_allclose(values, traces[1][name], atol=1e-4, err_msg=name)


def test_an_edit_of_nothing_changes_no_token(bark, made):
    nothing = {
        "**.resid": Add(0.0),
        "**.attn.mixed": Scale(1.0),
        "**.ln_f": Replace(5.0, steps=range(500, 600)),
        "**.embed": lambda x, place: x,
    }
    for one, same in zip(made, bark.generate(TEXTS, edits=nothing, **ALL), strict=True):
        assert tokens(one) == tokens(same)


def test_the_residuals_of_another_run_give_its_tokens(bark, made, traces):
    """Every layer's, or the last one's alone: it is all that the head reads."""
    run, trace = made[0], traces[0]
    replaced = {name: Replace(trace[name]) for name in trace if name.endswith("resid")}
    sampling = {"semantic": {"max_duration_s": 1.1, "min_eos_p": None}}
    other = dict(voice=tiny.make_voice(30, 2), seed=SEEDS[0], sampling=sampling)
    assert tokens(bark.generate("zebra", **other)) != tokens(run)
    copied = bark.generate("zebra", edits=replaced, trace="semantic.h.1.resid", **other)
    assert tokens(copied)[:2] == tokens(run)[:2]
    np.testing.assert_array_equal(
        copied.trace["semantic.h.1.resid"][:5], trace["semantic.h.1.resid"][:5]
    )
    # frames after the end are drawn with the seed, and seen by the fine stage: same history wanted
    edits = {"fine.h.0.resid": Replace(trace["fine.h.0.resid"])}
    fine = bark.fine(run.coarse, seed=SEEDS[0], edits=edits)
    np.testing.assert_array_equal(fine, run.fine)


SIZE = tiny.CONFIG
EDITS = [  # different ones in every row, in all stages
    {
        "semantic.h.0.resid": Add(RNG.normal(size=SIZE.semantic.n_embd), steps=range(2, 9)),
        "coarse.h.*.attn.mixed": Scale([[0], [1], [1]]),
    },
    {
        "semantic.h.0.resid": [Scale(0.7), Add(RNG.normal(size=(5, SIZE.semantic.n_embd)))],
        "fine.h.0.mlp.out": Scale(0.0, steps=3),
    },
    {"semantic.h.1.attn.v": Add(1.0), "coarse.embed": lambda x, place: -x},
]


@pytest.fixture(scope="module")
def edited(bark):
    return bark.generate(TEXTS, edits=EDITS, trace="semantic.h.1.resid", **ALL)


def test_rows_are_edited_as_they_are_alone(bark, made, edited):
    for one, other in zip(made, edited, strict=True):
        assert tokens(one) != tokens(other)
    sampling = {"semantic": {"max_duration_s": 0.6, "min_eos_p": None}}
    solo = bark.generate(TEXTS[1], voice=VOICES[1], seed=4, sampling=sampling, edits=EDITS[1])
    assert tokens(solo) == tokens(edited[1])
    assert solo.settings["edits"]["semantic.h.0.resid"] == ["Scale", "Add"]


@pytest.mark.thorough
def test_streams_edit_and_trace_their_rows(bark, edited):
    options = dict(edits=EDITS, trace="semantic.h.1.resid", batch_rows=2)
    for row, one in bark.stream(TEXTS, **options, **ALL):
        assert tokens(one) == tokens(edited[row])
        for name, values in one.trace.items():
            np.testing.assert_allclose(values, edited[row].trace[name], atol=1e-4)


def test_scores_and_traces_under_edits_are_those_of_edited_decoding(bark):
    """With the same edits: greedy tokens are the likeliest in every stage, and traces are equal."""
    greedy = {stage: {"temperature": 0} for stage in STAGES}
    greedy["semantic"] |= {"max_duration_s": 1.6, "allow_early_stop": False}
    edits = {
        "semantic.h.0.resid": Add(RNG.normal(size=tiny.CONFIG.semantic.n_embd)),
        "coarse.h.0.resid": Add(RNG.normal(size=tiny.CONFIG.coarse.n_embd)),
        "fine.embed": Add(RNG.normal(size=tiny.CONFIG.fine.n_embd), steps=range(0, 40)),
    }
    one = bark.generate("hello", edits=edits, sampling=greedy, trace=DRAWN)
    assert one.coarse.size > L.max_coarse_history  # the context has moved on and is read again
    scores = bark.score(one, edits=edits, as_drawn=True, details=["rank"])
    rank = scores.details["rank"]
    assert not rank["semantic"][:-1].any() and not rank["coarse"].any()
    assert not rank["fine"][Q:].any()
    without = bark.score(one, as_drawn=True, details=["rank"]).details["rank"]
    assert all(without[stage].any() for stage in STAGES)
    trace = bark.trace(one, names=DRAWN, edits=edits)
    for name, values in one.trace.items():
        n = len(one.semantic) if name.startswith("semantic") else one.coarse.size
        np.testing.assert_allclose(values[:n], trace[name][:n], atol=2e-4, err_msg=name)


@pytest.mark.thorough
def test_edits_and_traces_are_of_a_guided_rows_own_condition(bark):
    """At scale 1 the other condition has no say, so nothing else may be seen or changed."""
    edits = [
        {"semantic.h.0.resid": Add(RNG.normal(size=tiny.CONFIG.semantic.n_embd))},
        {"coarse.h.1.mlp.out": Scale(0.5)},
    ]
    options = dict(voice=VOICES[:2], seed=[1, 2], edits=edits, trace="**.resid")
    options["sampling"] = {"semantic": {"max_duration_s": 2.0, "min_eos_p": None}}
    plain = bark.generate(TEXTS[:2], **options)
    for guidance in ({"text": "", "scale": 1.0}, {"model": bark, "voice": None, "scale": 1.0}):
        guided = bark.generate(TEXTS[:2], guidance=guidance, **options)
        for one, other in zip(plain, guided, strict=True):
            assert tokens(one) == tokens(other)
            for name, values in one.trace.items():
                np.testing.assert_allclose(other.trace[name], values, atol=1e-4)


@flax.struct.dataclass
class Clamp:
    """A user's own edit, with a value per row."""

    most: float | jax.Array

    def __call__(self, x, place):
        most = jnp.reshape(jnp.asarray(self.most), (-1,) + (1,) * (x.ndim - 1))
        return jnp.where((place.step_BT >= 0)[..., None], jnp.clip(x, -most, most), x)


def test_an_edit_of_ones_own(bark):
    options = dict(seed=1, sampling={"semantic": {"max_duration_s": 1.0, "min_eos_p": None}})
    names = "semantic.h.0.resid"
    edits = [{names: Clamp(0.5)}, {names: Clamp(2.0)}, {}]
    rows = bark.generate(["yes"] * 3, edits=edits, trace=names, **options)
    tops = [np.nanmax(np.abs(row.trace[names])) for row in rows]
    assert tops[:2] == [0.5, 2.0] and tops[2] > 2.0


def test_new_values_compile_nothing(bark, compilations):
    def run(value, steps):
        edits = {"semantic.h.0.resid": Add(value, steps), "fine.h.0.resid": Scale(value[0])}
        edits["coarse.h.*.mlp.out"] = Replace(value[0], steps)
        sampling = {"semantic": {"max_duration_s": 1.0, "allow_early_stop": False}}
        one = bark.generate("hello", edits=edits, sampling=sampling)
        bark.score(one, edits=edits)
        return one

    width = tiny.CONFIG.semantic.n_embd
    first = run(RNG.normal(size=width), None)
    before = compilations()
    second = run(RNG.normal(size=width), range(1, 7))
    assert compilations() == before
    assert tokens(first) != tokens(second)


def test_a_program_without_hooks_has_nothing_of_them(bark, monkeypatch):
    """Its text is that of a model whose layers call no tap at all."""

    params = tiny.stage_params("semantic")
    model = bind(GPT, tiny.CONFIG.semantic, tiny.F32, params=params)
    x_BPD, length_B = jnp.zeros((2, 3, tiny.CONFIG.semantic.n_embd)), jnp.full(2, 3)
    _, cache = model.prefill(x_BPD, length_B, 8)

    def text() -> str:
        def step(params, ids_B, cache, visible_BM):
            model = bind(GPT, tiny.CONFIG.semantic, tiny.F32, params=params)
            return model.step(ids_B, ids_B, cache, visible_BM, jnp.int32(3))

        ids_B, visible_BM = jnp.zeros(2, int), jnp.ones((2, 8), bool)
        return jax.jit(step).lower(params, ids_B, cache, visible_BM).as_text()

    def attention(self, x_BTD, attend, tap, pick):
        heads = (*x_BTD.shape[:2], self.cfg.n_head, self.cfg.head_dim)
        qkv = (z_BTD.reshape(heads) for z_BTD in jnp.split(self.c_attn(x_BTD), 3, axis=-1))
        return self.c_proj(attend(*qkv).reshape(x_BTD.shape))

    def block(self, x_BTD, attend, tap=None):
        x_BTD = x_BTD + self.attn(self.ln_1(x_BTD), attend, tap, None)
        return x_BTD + self.mlp.c_proj(gelu(self.mlp.c_fc(self.ln_2(x_BTD))))

    usual = text()
    monkeypatch.setattr(Attention, "__call__", attention)
    monkeypatch.setattr(Block, "__call__", block)
    assert usual == text()


@pytest.mark.parametrize(
    "edits, message",
    [
        ([1], "edits=1 is not allowed; want a dict of names and edits, or one per row"),
        ({"semantic.h.9.resid": Scale(0)}, "edits: 'semantic.h.9.resid' is the name of no place"),
        ({"semantic.h.0.attn.weights": Scale(0)}, "can be traced, but not changed"),
        ({"coarse.h.0.resid": 3}, "coarse.h.0.resid wants Add, Replace, Scale, a function"),
        ({"coarse.h.0.resid": Add}, "coarse.h.0.resid wants Add, Replace, Scale, a function"),
        ({"coarse.h.0.resid": Add([1.0, 2.0])}, "has a value of shape (2,); want numbers of shape"),
        ({"coarse.h.0.resid": Add(np.nan)}, "has a value that is not finite"),
        ({"coarse.h.0.resid": Add(1.0, steps="all")}, "has steps='all'; want a whole number"),
        ({"coarse.h.0.resid": Add(1.0, steps=range(3, 3))}, "has steps=range(3, 3)"),
        ({"coarse.embed": Add(np.ones((3, 18)), range(2))}, "has 3 values for steps=range(0, 2)"),
        ([{}, {}], "lists want one entry per row and equal lengths, got {'text': 3, 'edits': 2}"),
    ],
)  # fmt: skip
def test_edits_that_are_refused(bark, edits, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        bark.generate(TEXTS, edits=edits)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda b: b.generate("a", trace="fine.**"), "trace: 'fine.**' is the name of no place"),
        (lambda b: b.trace(fine=np.zeros((5, 9), int), names=[]), "names=[] is not allowed"),
        (lambda b: b.trace(semantic=[1], names="semantic.embed"), "want text and semantic"),
    ],
)  # fmt: skip
def test_traces_that_are_refused(bark, call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(bark)
