"""What the GPT stages are trained on is what inference reads, and what they score is the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bark_jax.data.records import Record
from bark_jax.decoding.loop import read_prompt, read_token
from bark_jax.decoding.noise import noise_of
from bark_jax.models.binding import bind
from bark_jax.models.gpt import GPT
from bark_jax.stages import coarse_plan
from bark_jax.stages.fine import fill_window
from bark_jax.training.tasks.corruption import corrupt
from bark_jax.training.tasks.cross_entropy import IGNORED, token_sums
from bark_jax.training.tasks.examples import Examples
from bark_jax.training.tasks.guided_attention import (
    off_diagonal,
    share_of_time,
    share_of_units,
)
from bark_jax.training.tasks.make import make_task
from tests import tiny

L = tiny.LAYOUT
EOS = L.semantic_pad_token
# Both paths multiply the same numbers in float32, in another order; logits reach about 10.
ATOL = 2e-5
START, KEY = jnp.float32(0), jax.random.key(0)


def record_of(n_semantic: int = 20, seed: int = 0, n_text: int = 7, speaker: str = "a") -> Record:
    rng = np.random.default_rng(seed)
    n_frames = int(n_semantic * L.coarse_rate_hz / L.semantic_rate_hz)
    return Record(
        id=f"{speaker}{seed}",
        text="",
        speaker=speaker,
        text_ids=rng.integers(5, 31, n_text).astype(np.int32),
        semantic=rng.integers(0, EOS, n_semantic).astype(np.int32),
        codes=rng.integers(0, L.codebook_size, (L.n_fine_codebooks, n_frames)).astype(np.int32),
    )


def example_of(task, record, history=None, seed=0):
    return task.example(record, history, np.random.default_rng(seed))


def batch_of(*examples):
    return {name: jnp.stack([e[name] for e in examples]) for name in examples[0]}


logits_of = jax.jit(lambda task, params, *batch: task.logits(params, *batch), static_argnums=0)


def decoded(stage: str, prompt_P: np.ndarray, tokens: np.ndarray, is_merged: bool) -> np.ndarray:
    """All scores (1 + tokens, V) of the decode path, which reads one token after the other."""

    @jax.jit
    def run(params, ids_BP, tokens_T):
        model = bind(GPT, getattr(tiny.CONFIG, stage), tiny.F32, params=params)
        x_BPD = model.embed_merged(ids_BP, L.text_length) if is_merged else model.embed(ids_BP)
        P = x_BPD.shape[1]
        out_BD, context = read_prompt(model, x_BPD, jnp.full(1, P), P + len(tokens_T))

        def step(context, token):
            out_BD, context = read_token(model, jnp.full(1, token), context)
            return context, model.logits(out_BD)[0]

        logits_TV = jax.lax.scan(step, context, tokens_T)[1]
        return jnp.concatenate([model.logits(out_BD), logits_TV])

    ids_BP, tokens_T = jnp.asarray(prompt_P)[None], jnp.asarray(tokens)
    return np.asarray(run(tiny.stage_params(stage), ids_BP, tokens_T))


@pytest.mark.parametrize("n_history", [0, 30])
def test_semantic_scores_are_those_of_decoding(n_history):
    task = make_task("semantic", tiny.CONFIG)
    record = record_of(20)
    history = record_of(n_history, seed=1) if n_history else None
    example = example_of(task, record, history)
    logits_BTV, _ = logits_of(
        task, tiny.stage_params("semantic"), jnp.asarray(example["ids"])[None]
    )
    prompt_P = example["ids"][: 2 * L.text_length + 1]
    want = decoded("semantic", prompt_P, record.semantic, is_merged=True)
    np.testing.assert_allclose(logits_BTV[0, :21], want[:, : EOS + 1], atol=ATOL)
    np.testing.assert_array_equal(example["targets"][:21], [*record.semantic, EOS])
    assert (example["targets"][21:] == IGNORED).all()


def test_semantic_example_holds_the_prompt_of_inference():
    task, record, history = make_task("semantic", tiny.CONFIG), record_of(9), record_of(30, seed=1)
    ids = example_of(task, record, history)["ids"]
    text = [*(record.text_ids + L.text_encoding_offset), *[L.text_pad_token] * 5]
    np.testing.assert_array_equal(ids[: L.text_length], text)
    end = history.semantic[-L.text_length :]
    np.testing.assert_array_equal(ids[L.text_length : 2 * L.text_length], end)
    assert ids[2 * L.text_length] == L.semantic_infer_token


def test_a_long_record_loses_its_end_and_teaches_no_eos():
    task = make_task("semantic", tiny.CONFIG, max_tokens=8)
    example = example_of(task, record_of(8))
    assert example["ids"].shape == (2 * L.text_length + 8,)
    assert EOS not in example["targets"] and (example["targets"] != IGNORED).all()


@pytest.mark.parametrize("n_semantic, n_history", [(4, 0), (40, 12)])  # one segment; several
def test_coarse_scores_are_those_of_decoding(n_semantic, n_history):
    task = make_task("coarse", tiny.CONFIG, loss_on="new")
    record = record_of(n_semantic)
    history = record_of(n_history, seed=1) if n_history else None
    voice = history and (history.semantic, history.codes[:3])
    plan = coarse_plan.make_plan(record.semantic, voice, L, L.max_coarse_history)
    made = coarse_plan.flatten(record.codes[:3], L)[: plan.n_tokens]
    segments = list(coarse_plan.segments([plan], L.coarse_window))
    drawn = [example_of(task, record, history, seed) for seed in range(1000)]
    assert len({e["ids"].tobytes() for e in drawn}) == len(segments)
    for begin, n_steps in (segments[0], segments[-1]):
        context_P, new = plan.context(made[:begin]), made[begin : begin + n_steps]
        fits = [
            e for e in drawn if np.array_equal(e["targets"][e["targets"] != IGNORED], new)
            and np.array_equal(e["ids"][: len(context_P)], context_P)
        ]  # fmt: skip
        example = fits[0]
        at = np.flatnonzero(example["targets"] != IGNORED)
        codebook_T = np.maximum(example["targets"] - L.coarse_offset(0), 0) // L.codebook_size
        logits_BTV = logits_of(
            task,
            tiny.stage_params("coarse"),
            jnp.asarray(example["ids"])[None],
            jnp.asarray(codebook_T)[None],
        )
        want = decoded("coarse", context_P, new[:-1], is_merged=False)
        for scores_V, scores, token in zip(logits_BTV[0, at], want, new, strict=True):
            first = token - (token - L.coarse_offset(0)) % L.codebook_size
            np.testing.assert_allclose(scores_V, scores[first : first + L.codebook_size], atol=ATOL)


def test_coarse_loss_counts_the_records_tokens_and_not_the_voices():
    record, history = record_of(4), record_of(12, seed=1)
    own = coarse_plan.flatten(record.codes[:3], L)
    example = example_of(make_task("coarse", tiny.CONFIG), record, history)
    targets = example["targets"][example["targets"] != IGNORED]
    np.testing.assert_array_equal(targets, own[: len(targets)])
    assert len(own) - len(targets) < 3


@pytest.mark.parametrize("n_history", [0, 12])
def test_fine_scores_draw_the_codes_of_inference(n_history):
    task = make_task("fine", tiny.CONFIG)
    history = record_of(n_history, seed=1) if n_history else None
    example = example_of(task, record_of(30), history, seed=3)
    params, last = tiny.stage_params("fine"), L.n_fine_codebooks - 1
    logits_BTV = logits_of(task, params, batch_of(example), jnp.int32(last))
    window = example["read"].copy()
    window[example["n_seen"] :, last] = L.fine_pad_token
    codes_BTQ = fill_window(
        params,
        jnp.asarray(window)[None],
        jnp.asarray(example["n_seen"])[None],
        jnp.zeros(1),
        noise_of("fine", [0], None, (L.fine_window, L.codebook_size), L.n_fine_codebooks),
        jnp.int32(last),
        jnp.int32(0),
        cfg=tiny.CONFIG,
        execution=tiny.F32,
    )
    new = slice(example["n_seen"], None)
    np.testing.assert_array_equal(codes_BTQ[0, new, last], logits_BTV[0, new].argmax(-1))


def test_fine_loss_counts_the_new_frames_of_each_codebook():
    task = make_task("fine", tiny.CONFIG)
    batch = batch_of(*(example_of(task, record_of(n), seed=n) for n in (3, 20)))
    params = tiny.stage_params("fine")
    n_new = int((batch["n_frames"] - batch["n_seen"]).sum())
    loss = jax.jit(lambda key: task.loss(params, batch, key, START).sums)
    sums = loss(None)
    assert sums["loss"][1] == 2 * n_new  # codebooks 3 and 4
    each = sums["loss_codebook_3"] + sums["loss_codebook_4"]
    np.testing.assert_allclose(sums["loss"], each, rtol=1e-6)
    drawn = {float(loss(jax.random.key(n))["loss"][0]) for n in range(6)}
    np.testing.assert_allclose(
        sorted(drawn), sorted([float(sums[f"loss_codebook_{q}"][0]) for q in (3, 4)]), rtol=1e-5
    )


def gradient_of(stage: str, remat: bool):
    task = make_task(stage, tiny.CONFIG, remat=remat)
    batch = batch_of(example_of(task, record_of(12)))
    return jax.grad(lambda params: task.loss(params, batch, KEY, START).sums["loss"][0])


@pytest.mark.parametrize("stage", ["semantic", "coarse", "fine"])
def test_remat_reaches_the_blocks(stage):
    texts = [
        str(jax.make_jaxpr(gradient_of(stage, remat))(tiny.stage_params(stage)))
        for remat in (False, True)
    ]
    assert ["remat" in text or "checkpoint" in text for text in texts] == [False, True]


def test_remat_changes_no_gradient():
    params = tiny.stage_params("semantic")
    without, with_remat = (jax.jit(gradient_of("semantic", r))(params) for r in (False, True))
    # the same operations; XLA may fuse them otherwise
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), without, with_remat
    )


def test_cross_entropy_is_minus_the_log_of_the_targets_share():
    logits_BTV = jnp.log(jnp.array([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [0.2, 0.3, 0.5]]]))
    sums = token_sums(logits_BTV, jnp.array([[1, 2, IGNORED]]))
    np.testing.assert_allclose(sums["loss"], [-np.log(0.25) - np.log(0.8), 2], rtol=1e-6)
    np.testing.assert_allclose(sums["accuracy"], [1, 2])


def test_corruption_spares_the_targets_and_takes_its_share():
    ids = np.full(20_000, 7, np.int32)
    wrong = corrupt(ids, 10, 12, 0.1, np.random.default_rng(0))
    assert set(wrong) == {7, 10, 11}
    assert abs((wrong != 7).mean() - 0.1) < 0.01  # five standard deviations
    task = make_task("semantic", tiny.CONFIG, corruption=0.5)
    clean = make_task("semantic", tiny.CONFIG)
    assert task.for_evaluation() == clean
    noisy, right = (example_of(t, record_of(30)) for t in (task, clean))
    assert (noisy["ids"] != right["ids"]).any()
    np.testing.assert_array_equal(noisy["targets"], right["targets"])


def test_the_guide_rewards_the_diagonal_and_fades_out():
    first, n = 6, 24
    T, K = first + n, 8
    center = np.minimum(np.arange(n) * first // n, first - 1)
    keys = np.eye(T, K)
    queries = np.zeros((T, K))
    queries[first:] = 50 * keys[center]
    rest = jnp.array([first]), share_of_time(n)[None], jnp.ones((1, n), bool), 0.06
    along = off_diagonal(jnp.array(queries)[None], jnp.array(keys)[None], *rest)
    queries[first:] = 50 * keys[first - 1 - center]
    against = off_diagonal(jnp.array(queries)[None], jnp.array(keys)[None], *rest)
    assert along / n < 0.1 and against / n > 0.5

    task = make_task("semantic", tiny.CONFIG, guide_weight=1.0, guide_layers=(1,))
    batch, params = batch_of(example_of(task, record_of(12))), tiny.stage_params("semantic")
    loss = jax.jit(lambda key, progress: task.loss(params, batch, key, progress).sums["loss"][0])
    losses = [float(loss(KEY, jnp.float32(progress))) for progress in (0, 0.25, 0.5)]
    plain = float(loss(None, START))
    assert losses[0] > losses[1] > losses[2] == pytest.approx(plain, rel=1e-6)


def test_a_guide_may_go_by_units_of_speech():
    """Four phones in thirds; the second and third are the same phone, spoken twice."""
    tokens = np.array([0, 1, 2, 2, 6, 7, 6, 8, 3])
    shares = share_of_units(tokens, 3)
    np.testing.assert_allclose(shares * 4, [0.5, 0.5, 0.5, 0.5, 1.5, 1.5, 2.5, 2.5, 3.5])
    assert len(share_of_units(tokens[:0], 3)) == 0
    task = make_task("semantic", tiny.CONFIG, guide_states=3)
    record = record_of(12)
    example = example_of(task, record)
    np.testing.assert_array_equal(example["share"][:12], share_of_units(record.semantic, 3))
    assert (example["share"][12:] == 1).all()


class Records(list):
    """A source in memory."""

    def __init__(self, records):
        super().__init__(records)
        self.speakers = [record.speaker for record in records]


def test_a_history_is_another_record_of_the_same_speaker():
    source = Records([record_of(9, seed=n, speaker="ab"[n % 2]) for n in range(6)])
    source += [record_of(9, seed=7, speaker="c")]
    source.speakers.append("c")
    examples = Examples(source, make_task("semantic", tiny.CONFIG, history_share=1.0))
    for index, record in enumerate(source):
        seen = set()
        for seed in range(20):
            ids = examples(index, np.random.default_rng(seed))["ids"]
            seen.add(tuple(ids[L.text_length : L.text_length + 9]))
        others = [r for r in source if r.speaker == record.speaker and r.id != record.id]
        assert {tuple(r.semantic) for r in others} <= seen
        assert len(seen) == len(others) + 1  # or none


def test_options_are_checked():
    with pytest.raises(ValueError, match=r"stage='fin'.*semantic"):
        make_task("fin", tiny.CONFIG)
    with pytest.raises(ValueError, match=r"no option \['dropout'\].*corruption"):
        make_task("coarse", tiny.CONFIG, dropout=0.1)
    with pytest.raises(ValueError, match="max_tokens=41 is not in 1 … 40"):
        make_task("semantic", tiny.CONFIG, max_tokens=41)
    with pytest.raises(ValueError, match="window=65 is not in 2 … 64"):
        make_task("fine", tiny.CONFIG, window=65)
    with pytest.raises(ValueError, match="loss_on='old'"):
        make_task("coarse", tiny.CONFIG, loss_on="old")
    with pytest.raises(ValueError, match=r"guide_layers=\(1, 2\): the model has layers 0 … 1"):
        make_task("semantic", tiny.CONFIG, guide_weight=1.0)
