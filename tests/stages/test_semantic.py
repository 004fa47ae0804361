"""The semantic stage: durations, ends, rows. Against the original: parity/."""

import dataclasses

import numpy as np
import pytest

from bark_jax.config import TokenLayout
from bark_jax.decoding.noise import noise_of
from bark_jax.models.binding import bind
from bark_jax.models.gpt import GPT
from bark_jax.sampling_config import BARK, per_row
from bark_jax.stages.semantic import generate_semantic, max_tokens, prompt
from tests import tiny

LAYOUT = TokenLayout()
L = tiny.LAYOUT
EOS = L.semantic_pad_token


@pytest.mark.parametrize(
    "duration_s, n_tokens",
    [
        (0, 1), (0.01, 1), (0.02, 1), (1 / 49.9, 2), (0.1, 5), (0.5, 25), (1, 50), (2, 100),
        (5, 250), (10, 499), (13, 649), (15, 749), (15.4, 768), (100, 768), (None, 768),
    ],
)  # fmt: skip
def test_durations(duration_s, n_tokens):
    assert max_tokens(duration_s, LAYOUT) == n_tokens


def test_prompt_holds_text_then_the_end_of_the_history_then_infer():
    text_T = np.arange(256, dtype=np.int32)
    ids_T = prompt(text_T, np.arange(300), LAYOUT)
    assert ids_T.dtype == np.int32
    np.testing.assert_array_equal(ids_T[:256], text_T)
    np.testing.assert_array_equal(ids_T[256:512], np.arange(44, 300))
    assert list(ids_T[512:]) == [129_599]


@pytest.mark.parametrize("history, n_kept", [(None, 0), (np.arange(10), 10)])
def test_prompt_is_padded_on_the_right(history, n_kept):
    ids_T = prompt(np.zeros(256, np.int32), history, LAYOUT)
    np.testing.assert_array_equal(ids_T[256 : 256 + n_kept], np.arange(n_kept))
    assert (ids_T[256 + n_kept : 512] == 10_000).all()


def ids_of(seed: int, n_history: int = 0) -> np.ndarray:
    """A random prompt of the tiny model."""
    rng = np.random.default_rng(seed)
    low = L.text_encoding_offset
    text_T = rng.integers(low, L.text_pad_token, L.text_length).astype(np.int32)
    return prompt(text_T, rng.integers(0, EOS, n_history) if n_history else None, L)


def run(prompts, seeds=None, noise=None, params=None, report=None, execution=tiny.F32, **sampling):
    """The semantic stage on the tiny model."""
    n = len(prompts)
    rows = per_row("semantic", dataclasses.replace(BARK.semantic, **sampling), n)
    limits = [max_tokens(s, L) for s in rows["max_duration_s"]]
    return generate_semantic(
        params or tiny.stage_params("semantic"),
        np.stack(prompts),
        rows,
        noise_of("semantic", seeds or list(range(n)), noise, (EOS + 1,), limits),
        cfg=tiny.CONFIG,
        execution=execution,
        report=report,
    )


def eos_noise(*steps: int | None) -> list[np.ndarray]:
    """Noise that draws the end at the given step of each row (never for None), else tokens."""
    noise = np.zeros((len(steps), L.max_semantic_tokens, EOS + 1), np.float32)
    noise[:, :, EOS] = -1e6
    for row, step in zip(noise, steps, strict=True):
        if step is not None:
            row[step, EOS] = 1e6
    return list(noise)


def test_the_end_token_ends_a_row_and_is_not_part_of_it():
    prompts = [ids_of(0)] * 4
    results = run(prompts, noise=eos_noise(0, 1, 7, None), min_eos_p=None)
    assert [len(r.tokens) for r in results] == [0, 1, 7, L.max_semantic_tokens]
    assert [r.finish_reason for r in results] == ["eos", "eos", "eos", "max_tokens"]
    for result in results:
        np.testing.assert_array_equal(result.tokens, results[3].tokens[: len(result.tokens)])


def test_without_early_stop_the_end_token_is_never_drawn():
    (result,) = run([ids_of(0)], noise=eos_noise(3), min_eos_p=None, allow_early_stop=False)
    assert len(result.tokens) == L.max_semantic_tokens
    assert result.tokens.max() < EOS
    # min_eos_p is ignored as well
    (again,) = run([ids_of(0)], noise=eos_noise(3), min_eos_p=0.0, allow_early_stop=False)
    np.testing.assert_array_equal(again.tokens, result.tokens)


def test_min_eos_p_ends_a_row_whatever_is_drawn():
    (result,) = run([ids_of(0)], noise=eos_noise(None), min_eos_p=0.0)
    assert (len(result.tokens), result.finish_reason) == (0, "eos")
    (result,) = run([ids_of(0)], noise=eos_noise(None), min_eos_p=1.0)
    assert len(result.tokens) == L.max_semantic_tokens


@pytest.mark.parametrize("temperature, top_k", [(1.0, None), (0.5, None), (2.0, None), (1.0, 30)])
def test_min_eos_p_is_compared_after_filters_and_temperature(temperature, top_k):
    """At the first step, whose scores are known: a limit just below p ends the row there."""
    params = tiny.stage_params("semantic")
    model = bind(GPT, tiny.CONFIG.semantic, tiny.F32, params=params)
    out_BPD, _ = model(model.embed_merged(ids_of(3)[None], L.text_length))
    scores = np.asarray(model.logits(out_BPD[:, -1]), np.float64)[0, : EOS + 1]
    assert np.argsort(scores)[::-1].tolist().index(EOS) < 30, "the filter must keep the end"
    if top_k is not None:
        scores[scores < np.sort(scores)[-top_k]] = -np.inf
    shares = np.exp(scores / temperature)
    p = shares[EOS] / shares.sum()

    def length(min_eos_p):
        options = {"temperature": temperature, "top_k": top_k, "min_eos_p": min_eos_p}
        return len(run([ids_of(3)], noise=eos_noise(None), **options)[0].tokens)

    assert length(0.99 * p) == 0
    assert length(1.01 * p) > 0


def test_a_filter_that_removes_the_end_token_removes_min_eos_p():
    """The probability is taken after the filters, so an end that they drop can never fire."""
    (loose,) = run([ids_of(0)], noise=eos_noise(None), min_eos_p=1e-9)
    (tight,) = run([ids_of(0)], noise=eos_noise(None), min_eos_p=1e-9, top_k=1)
    assert len(loose.tokens) < len(tight.tokens)


def test_a_duration_limits_tokens():
    durations = [0.0, 1.0, 3.0, None]
    results = run(
        [ids_of(0)] * 4, noise=eos_noise(*[None] * 4), min_eos_p=None, max_duration_s=durations
    )
    assert [len(r.tokens) for r in results] == [1, 10, 30, 40]  # 9.7 tokens a second
    reasons = ["max_duration", "max_duration", "max_duration", "max_tokens"]
    assert [r.finish_reason for r in results] == reasons


def test_an_end_drawn_at_the_limit_wins():
    (result,) = run([ids_of(0)], noise=eos_noise(9), min_eos_p=None, max_duration_s=1.0)
    assert (len(result.tokens), result.finish_reason) == (9, "eos")
    (result,) = run([ids_of(0)], noise=eos_noise(10), min_eos_p=None, max_duration_s=1.0)
    assert (len(result.tokens), result.finish_reason) == (10, "max_duration")


MIXED = {
    "temperature": [0.7, 0.0, 1.0, 0.7, 1.5, 0.7, 0.9, 0.7],
    "top_k": [None, None, 5, None, None, 1, None, 20],
    "top_p": [None, 0.5, None, 0.9, None, None, 0.0, 0.95],
    "min_eos_p": [0.2, None, 0.05, 1.0, None, 0.2, 0.2, 0.5],
    "max_duration_s": [None, 1.0, None, 0.0, 2.5, None, None, 3.0],
    "allow_early_stop": [True, True, False, True, True, True, False, True],
}


def test_rows_of_a_batch_give_their_solo_result():
    prompts = [ids_of(seed, n_history=5 * seed) for seed in range(8)]
    together = run(prompts, **MIXED)
    lengths = {len(result.tokens) for result in together}
    assert len(lengths) > 3, "rows that all end together would prove little"
    for i in range(8):
        (alone,) = run([prompts[i]], [i], **{name: [values[i]] for name, values in MIXED.items()})
        np.testing.assert_array_equal(together[i].tokens, alone.tokens, err_msg=f"row {i}")
        assert together[i].finish_reason == alone.finish_reason


def test_progress_comes_every_few_steps_and_changes_nothing():
    prompts = [ids_of(seed) for seed in range(8)]
    seen: list[int] = []
    with_report = run(prompts, report=seen.append, **MIXED)
    assert seen == [32, 40]
    for a, b in zip(with_report, run(prompts, **MIXED), strict=True):
        np.testing.assert_array_equal(a.tokens, b.tokens)


def test_progress_ends_with_the_last_row():
    seen: list[int] = []
    run([ids_of(0)], noise=eos_noise(2), report=seen.append)
    assert seen == [32]


def test_temperature_zero_takes_the_best_whatever_the_noise():
    options = {"temperature": 0.0, "max_duration_s": 2.0, "allow_early_stop": False}
    results = [run([ids_of(0)], [seed], **options)[0].tokens for seed in (1, 2)]
    np.testing.assert_array_equal(*results)
    drawn = [
        run([ids_of(0)], [seed], **options | {"temperature": 1.0})[0].tokens for seed in (1, 2)
    ]
    assert (drawn[0] != drawn[1]).any()


def test_new_sampling_values_reuse_the_program(compilations):
    run([ids_of(0)])
    before = compilations()
    for options in (
        {"temperature": 1},
        {"temperature": 0},
        {"top_k": 3, "top_p": 0.5},
        {"min_eos_p": None, "allow_early_stop": False},
        {"max_duration_s": 3.9},
    ):
        run([ids_of(1)], [7], **options)
    assert compilations() == before
