"""Processors inside `generate`, `stream` and the stages: rows, later segments, programs."""

import flax.struct
import jax.numpy as jnp
import numpy as np
import pytest

from bark_jax.processors import Ban, Bias, MinLength, MinP, RepetitionPenalty, TopK, TopP, Typical
from bark_jax.stages import semantic_stream
from tests import tiny

L = tiny.LAYOUT
END = L.semantic_vocab_size


@flax.struct.dataclass
class Warmup:
    """Sharpens the first tokens, as the example of docs/sampling.md does."""

    strength: float
    tokens: int

    def __call__(self, logits_BV, context):
        is_first_B = context.position_B < self.tokens
        return jnp.where(is_first_B[:, None], logits_BV * self.strength[:, None], logits_BV)


TEXTS = ["hello", "a b c", "yes", "no", "why"]
SAMPLING = {
    "semantic": {
        "max_duration_s": 2.5,
        "processors": [
            [MinP(0.02), RepetitionPenalty(1.4)],
            [],
            [Warmup(3.0, 8), Ban([END])],
            [RepetitionPenalty(2.0), MinLength(20), Typical(0.8)],
            [Bias([3, END], [2.0, -1.0]), MinP(0.05)],
        ],
    },
    "coarse": {
        "processors": [[RepetitionPenalty(1.3)], [], [TopK(4)], [TopP(0.5), Ban([0, 1])], []]
    },
    "fine": {"processors": [[], [MinP(0.3)], [Ban([2, 3, 4])], [], [Warmup(5.0, 30)]]},
}
SEEDS = [3, 4, 5, 6, 7]


def solo(i: int):
    return {
        stage: {n: v[i] if n == "processors" else v for n, v in fields.items()}
        for stage, fields in SAMPLING.items()
    }


@pytest.fixture(scope="module")
def bark():
    return tiny.make_bark()


@pytest.fixture(scope="module")
def batch(bark):
    return bark.generate(TEXTS, seed=SEEDS, sampling=SAMPLING)


def check_equal(got, want):
    for name in ("semantic", "coarse", "fine"):
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name), err_msg=name)


def test_rows_give_their_solo_result(bark, batch):
    for i in (0, 2, 3):  # chains of the package and one of a user's, in all stages
        check_equal(bark.generate(TEXTS[i], seed=SEEDS[i], sampling=solo(i)), batch[i])


def test_a_stream_gives_the_same(bark, batch, monkeypatch):
    monkeypatch.setattr(semantic_stream, "STEPS_BETWEEN_LOOKS", 4)
    rows = dict(bark.stream(TEXTS, seed=SEEDS, sampling=SAMPLING, batch_rows=2))
    for i, row in enumerate(batch):
        check_equal(rows[i], row)


def test_rows_do_what_they_were_told(batch):
    plain, banned, short, free = batch[1:]
    assert "processors" not in plain.settings["sampling"]["semantic"]
    assert banned.finish_reason == "max_duration"
    assert len(short.semantic) >= 20
    assert not np.isin(short.coarse, [0, 1]).any()
    assert not np.isin(banned.fine[L.n_coarse_codebooks :], [2, 3, 4]).any()
    assert np.isin(free.fine[L.n_coarse_codebooks :], [2, 3, 4]).any()


def test_what_was_recorded_makes_the_same_again(bark, batch):
    for i in (3, 4):
        settings = batch[i].settings["sampling"]
        check_equal(bark.generate(TEXTS[i], seed=SEEDS[i], sampling=settings), batch[i])


def test_each_codebook_has_its_own_past_through_all_segments(bark):
    """With a strong penalty a codebook does not repeat a code before it has used all 20."""
    semantic = np.random.default_rng(0).integers(0, END, 24)
    (penalised,) = bark.coarse(
        [semantic], seed=1, sampling={"coarse": {"processors": [NeverTwice()]}}
    )
    n_frames = penalised.shape[1]
    assert n_frames * L.n_coarse_codebooks > 2 * L.coarse_window  # so there are segments
    for codes in penalised:
        assert len(set(codes[: L.codebook_size].tolist())) == min(n_frames, L.codebook_size)


@flax.struct.dataclass
class NeverTwice:
    def __call__(self, logits_BV, context):
        return jnp.where(context.seen_BV(logits_BV.shape[-1]), logits_BV - 1e4, logits_BV)


def test_new_values_reuse_every_program(bark, compilations):
    def generate(p: float, ids: list[int], tokens: int):
        chain = [MinP(p), Ban(ids), MinLength(tokens)]
        bark.generate(
            TEXTS[:2],
            sampling={
                "semantic": {"processors": chain, "max_duration_s": 1.0},
                "coarse": {"processors": chain[:2]},
                "fine": {"processors": chain[:2]},
            },
        )

    generate(0.05, [3], 2)
    before = compilations()
    generate(0.1, [1, 2, 5, 7], 0)
    generate(0, [], 9)
    assert compilations() == before


@pytest.mark.parametrize("stage, n_ids", [("semantic", END + 1), ("coarse", 20), ("fine", 20)])
def test_ids_that_a_stage_does_not_have_are_refused_before_any_work(bark, stage, n_ids):
    bark.generate("hello", sampling={"semantic": {"max_duration_s": 0.2}})
    sampling = {stage: {"processors": [[], [Ban([n_ids])]]}}
    message = rf"sampling.{stage}.processors: Ban.ids=.* want a list of ids in 0 … {n_ids - 1}"
    with pytest.raises(ValueError, match=message):
        bark.generate(["a", "b"], sampling=sampling)
