"""Every token of each stage against the original, on the same random weights and the same noise.

Seeds are chosen so that no draw of the original is closer than rounding; see oracle_noise.py.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from bark_jax.config import TokenLayout
from bark_jax.params import flatten, unflatten
from bark_jax.pipeline import Bark
from bark_jax.runtime.placement import StageParams
from bark_jax.stages.coarse_plan import flatten as flatten_codes
from bark_jax.stages.coarse_plan import make_plan
from bark_jax.stages.fine import plan_windows
from bark_jax.stages.semantic import max_tokens
from tests.parity.oracle_noise import SAFE_GAP, exponential, fine_draws, gumbel

LAYOUT = TokenLayout()
TEXT = "hello there, the weather is nice today é 你好 [laughs]"
VOICES = ["announcer", "de_speaker_7", "en_speaker_6", "v2/en_speaker_6", "v2/zh_speaker_3"]


def semantic_tokens(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 10_000, n)


def codes(n_rows: int, n_frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1024, (n_rows, n_frames))


# -- semantic --------------------------------------------------------------------------------------


def check_semantic(reference, bark, *, seed: int | None, voice=None, **options: Any) -> np.ndarray:
    """Runs both, with argmax for seed None; returns the tokens."""
    theirs = dict(options)
    theirs["temp"] = theirs.pop("temperature", 0.7)
    theirs["max_gen_duration_s"] = theirs.pop("max_duration_s", None)
    n_steps = max_tokens(theirs["max_gen_duration_s"], LAYOUT)
    E = None if seed is None else exponential(seed, 768, 10_001)[:n_steps]
    n_open = 10_001 if options.get("allow_early_stop", True) else 10_000
    draws = None if E is None else iter(np.ascontiguousarray(E[:, :n_open]))
    with reference.running(draws) as suno:
        want = suno.generate_text_semantic(TEXT, voice, silent=True, use_kv_caching=True, **theirs)
    assert reference.min_gap > SAFE_GAP, f"choose another seed: {reference.min_gap}"
    ours = {"temperature": 0.7, **options} | ({"temperature": 0} if E is None else {})
    got = bark.semantic(
        TEXT,
        voice=voice,
        sampling={"semantic": ours},
        noise=None if E is None else gumbel(E),
    )
    np.testing.assert_array_equal(got, want)
    return got


def test_semantic_argmax(reference, bark):
    assert len(check_semantic(reference, bark, seed=None, min_eos_p=None)) == 768


def test_semantic_with_noise(reference, bark):
    assert len(check_semantic(reference, bark, seed=0)) == 768


@pytest.mark.parametrize(
    "voice, seed, options",
    [
        ("announcer", 0, {}),
        ("de_speaker_7", 1, {"top_k": 50}),
        ("en_speaker_6", 2, {"top_p": 0.9}),
        ("v2/en_speaker_6", 3, {"top_k": 20, "top_p": 0.5}),
        ("v2/zh_speaker_3", 4, {"temperature": 1.3, "min_eos_p": None}),
        (None, 5, {"top_k": 1}),
        (None, 6, {"top_p": 0.0}),
        (None, 7, {"top_k": 20_000, "top_p": 1.0, "temperature": 0.3}),
        (None, 8, {"allow_early_stop": False}),
        ("announcer", None, {"min_eos_p": None}),
    ],
)
def test_semantic_voices_and_filters(reference, bark, voice, seed, options):
    got = check_semantic(reference, bark, voice=voice, seed=seed, max_duration_s=1.2, **options)
    assert len(got) == 60


@contextlib.contextmanager
def end_row(reference, bark, row: np.ndarray) -> Iterator[Bark]:
    """Both models with another row of the head for the end token; yields ours."""
    head = reference.models["text"]["model"].lm_head.weight.data
    old = head[10_000].clone()
    with bark.runner.params["semantic"].on_device() as params:
        flat = flatten(params)
    weight = flat["lm_head.weight"].at[10_000].set(row)
    changed = StageParams(lambda: unflatten({**flat, "lm_head.weight": weight}))
    params = {**bark.runner.params, "semantic": changed}
    try:
        head[10_000] = torch.from_numpy(row)
        yield Bark(dataclasses.replace(bark.runner, params=params), bark.voices)
    finally:
        head[10_000] = old


@pytest.fixture
def eager_end(reference, bark):
    """An end token whose score varies six times as much as others': likely within 100 draws."""
    row = reference.models["text"]["model"].lm_head.weight.data[10_000].numpy()
    with end_row(reference, bark, -6 * row) as changed:
        yield changed


@pytest.mark.parametrize(
    "seed, options",
    [
        (0, {"min_eos_p": None}),
        (1, {"min_eos_p": None, "temperature": 1.0}),
        (2, {}),
        (3, {"min_eos_p": 0.01}),
        (4, {"min_eos_p": 0.5, "top_k": 100}),
        (5, {"min_eos_p": 0.05, "top_p": 0.95}),
        (None, {"min_eos_p": None}),
    ],
)
def test_semantic_ends(reference, eager_end, seed, options):
    n = len(check_semantic(reference, eager_end, seed=seed, **options))
    assert 0 < n < 768


def test_semantic_end_is_ignored_without_early_stop(reference, eager_end):
    options = {"allow_early_stop": False, "max_duration_s": 3.0}
    assert len(check_semantic(reference, eager_end, seed=0, **options)) == 150


@pytest.mark.parametrize("seed, options", [(0, {}), (1, {"min_eos_p": None}), (None, {})])
def test_semantic_end_comes_first(reference, bark, seed, options):
    """The head's row for the end token points to the output after the prompt: no tokens at all."""
    seen = []
    model = reference.models["text"]["model"]
    hook = model.transformer.ln_f.register_forward_hook(
        lambda module, args, out: seen.append(out[0, -1].numpy())
    )
    with reference.running() as suno:
        suno.generate_text_semantic(TEXT, silent=True, max_gen_duration_s=0)
    hook.remove()
    row = seen[0] * (30 / np.square(seen[0]).sum())
    with end_row(reference, bark, row) as changed:
        got = check_semantic(reference, changed, seed=seed, **options)
    assert got.shape == (0,)


class ConstantModel(torch.nn.Module):
    """Stands in for a transformer where only the loop around it matters: random scores, no work.

    `contexts` are the ids at each start of a window, as the original feeds them.
    """

    def __init__(self, n_vocab: int) -> None:
        super().__init__()
        self.scores = torch.nn.Parameter(torch.rand(1, 1, n_vocab), requires_grad=False)
        self.contexts: list[np.ndarray] = []

    def forward(self, ids, past_kv=None, **_):
        if past_kv is None:
            self.contexts.append(ids[0].numpy().copy())
        return self.scores, ()


@pytest.mark.parametrize(
    "duration_s",
    [
        0,
        0.01,
        0.02,
        1 / 49.9,
        0.1,
        0.5,
        1,
        2,
        5,
        9.98,
        10,
        10.02,
        12.34,
        13,
        15,
        15.38,
        15.4,
        100,
        None,
    ],
)
def test_semantic_durations(reference, monkeypatch, duration_s):
    text = {**reference.models["text"], "model": ConstantModel(10_048)}
    monkeypatch.setitem(reference.models, "text", text)
    with reference.running() as suno:
        want = suno.generate_text_semantic(
            TEXT, silent=True, use_kv_caching=True, max_gen_duration_s=duration_s
        )
    assert max_tokens(duration_s, LAYOUT) == len(want)


# -- coarse ----------------------------------------------------------------------------------------


def check_coarse(
    reference, bark, semantic, *, seed, voice=None, max_history=630, window=60, **options: Any
) -> np.ndarray:
    """Runs both, with argmax for seed None; returns the codes."""
    n_steps = make_plan(semantic, None, LAYOUT, 630).n_tokens
    E = None if seed is None else exponential(seed, n_steps, 1024)
    theirs = {"temp": 0.7, **options}
    if "temperature" in theirs:
        theirs["temp"] = theirs.pop("temperature")
    with reference.running(None if E is None else iter(E)) as suno:
        want = suno.generate_coarse(
            semantic,
            voice,
            silent=True,
            use_kv_caching=True,
            max_coarse_history=max_history,
            sliding_window_len=window,
            **theirs,
        )
    assert reference.min_gap > SAFE_GAP, f"choose another seed: {reference.min_gap}"
    got = bark.coarse(
        semantic,
        voice=voice,
        sampling={"coarse": options | ({"temperature": 0} if E is None else {})},
        noise=None if E is None else gumbel(E),
        max_history=max_history,
        window=window,
    )
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, want)
    return got


@pytest.mark.parametrize(
    "n, seed",
    [(1, 0), (2, 1), (137, 2), (137, None), pytest.param(768, 3, marks=pytest.mark.thorough)],
)
def test_coarse_lengths(reference, bark, n, seed):
    check_coarse(reference, bark, semantic_tokens(n), seed=seed)


@pytest.mark.parametrize(
    "voice, n, seed, options",
    [
        ("announcer", 137, 0, {}),
        ("de_speaker_7", 50, 1, {"top_k": 50}),
        ("en_speaker_6", 137, 2, {"top_p": 0.9}),
        ("v2/en_speaker_6", 50, 3, {"top_k": 20, "top_p": 0.5}),
        ("v2/zh_speaker_3", 50, None, {}),
        (None, 50, 4, {"temperature": 1.3, "top_k": 1}),
        (None, 50, 5, {"top_p": 0.0}),
    ],
)
def test_coarse_voices_and_filters(reference, bark, voice, n, seed, options):
    check_coarse(reference, bark, semantic_tokens(n), voice=voice, seed=seed, **options)


@pytest.mark.parametrize(
    "max_history, window, voice, seed",
    [(60, 60, None, 0), (60, 60, "announcer", 1), (200, 37, None, 2), (630, 138, "announcer", 3)],
)
def test_coarse_histories_and_windows(reference, bark, max_history, window, voice, seed):
    check_coarse(
        reference, bark, semantic_tokens(100), voice=voice, seed=seed, max_history=max_history,
        window=window,
    )  # fmt: skip


def make_voice(n_semantic: int, n_frames: int) -> dict[str, np.ndarray]:
    fine = codes(8, n_frames)
    return {
        "semantic_prompt": semantic_tokens(n_semantic),
        "coarse_prompt": fine[:2],
        "fine_prompt": fine,
    }


@pytest.mark.parametrize("max_history, window", [(630, 60), (60, 60), (61, 7), (299, 101)])
@pytest.mark.parametrize(
    "n, voice",
    [
        (1, None), (137, None), (768, None), (137, (309, 464)), (137, (158, 237)), (300, (2, 3)),
        (20, (10, 15)), (20, (11, 17)), (50, (191, 287)), (50, (209, 314)), (50, (210, 315)),
        (50, (731, 1098)), (50, (100, 146)), (50, (100, 154)),
    ],
)  # fmt: skip
def test_coarse_contexts_are_what_the_original_feeds(
    reference, monkeypatch, n, voice, max_history, window
):
    """Ids at the start of every window, for odd kept histories and odd windows too."""
    prompt = voice and make_voice(*voice)
    model = ConstantModel(12_096)
    monkeypatch.setitem(reference.models, "coarse", model)
    with reference.running() as suno:
        want = suno.generate_coarse(
            semantic_tokens(n), prompt, silent=True, use_kv_caching=True,
            max_coarse_history=max_history, sliding_window_len=window,
        )  # fmt: skip
    history = prompt and (prompt["semantic_prompt"], prompt["coarse_prompt"])
    plan = make_plan(semantic_tokens(n), history, LAYOUT, max_history)
    assert want.shape == (2, plan.n_tokens // 2)
    generated = flatten_codes(want, LAYOUT)
    starts = range(0, plan.n_tokens, window)
    assert len(model.contexts) == len(starts)
    for n_done, context in zip(starts, model.contexts, strict=True):
        np.testing.assert_array_equal(plan.context(generated[:n_done]), context)


# -- fine ------------------------------------------------------------------------------------------


def check_fine(reference, bark, coarse, *, seed, history=None, temperature=0.5) -> None:
    """Runs both, with argmax for seed None."""
    n_history = 0 if history is None else min(512, history.shape[1])
    windows = plan_windows(coarse.shape[1], n_history, LAYOUT)
    E = None if seed is None else exponential(seed, 8 * len(windows), 1024, 1024)
    voice = None if history is None else make_voice(10, 15) | {"fine_prompt": history}
    with reference.running(None if E is None else fine_draws(E, windows, len(coarse))) as suno:
        want = suno.generate_fine(coarse, voice, temp=None if E is None else temperature)
    # without draws (temp None) there is no gap to look at
    assert reference.min_gap > SAFE_GAP, f"choose another seed: {reference.min_gap}"
    got = bark.fine(
        coarse,
        voice=voice,
        sampling={"fine": {"temperature": 0 if E is None else temperature}},
        noise=None if E is None else gumbel(E),
    )
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    "n_frames, seed",
    [(1, 0), (3, None), (205, 1), (1024, None), (1025, None), (1154, 2), (1537, None)],
)
def test_fine_lengths(reference, bark, n_frames, seed):
    """Frames of 1, 2, 137 and 768 semantic tokens, and the lengths around a window."""
    check_fine(reference, bark, codes(2, n_frames), seed=seed)


@pytest.mark.parametrize(
    "n_frames, n_history, seed",
    [(205, 237, 0), (205, 600, None), (513, 600, 1), (1154, 600, None), (1024, 1, None)],
)
def test_fine_histories(reference, bark, n_frames, n_history, seed):
    check_fine(reference, bark, codes(2, n_frames), history=codes(8, n_history, 1), seed=seed)


@pytest.mark.parametrize("n_given, seed, temperature", [
    (1, None, 0), (2, 0, 1.0), (3, None, 0), (4, 1, 0.7), (5, None, 0), (6, 2, 0.2), (7, 3, 0.5),
])  # fmt: skip
def test_fine_given_codebooks(reference, bark, n_given, seed, temperature):
    check_fine(reference, bark, codes(n_given, 20), seed=seed, temperature=temperature)
