"""What a caller is told while rows are made, and rows that it cancels."""

import numpy as np
import pytest

from bark_jax import Block, Guidance
from bark_jax.stages import coarse, semantic, semantic_stream
from tests import tiny

L = tiny.LAYOUT
TEXTS = ["hello", "a b c", "yes"]
OPTIONS = {
    "seed": [1, 2, 3],
    "sampling": {"semantic": {"allow_early_stop": False, "max_duration_s": [2.0, 3.9, 3.0]}},
}


@pytest.fixture(scope="module")
def bark():
    return tiny.make_bark()


@pytest.fixture(scope="module")
def plain(bark):
    return bark.generate(TEXTS, **OPTIONS)


@pytest.fixture(autouse=True)
def many_looks(monkeypatch):
    for module in (semantic, semantic_stream, coarse):
        monkeypatch.setattr(module, "STEPS_BETWEEN_LOOKS", 8)


def check_equal(got, want):
    for stage in ("semantic", "coarse", "fine"):
        np.testing.assert_array_equal(getattr(got, stage), getattr(want, stage), err_msg=stage)


def test_every_stage_tells_what_it_has_so_far_and_nothing_changes(bark, plain):
    blocks: list[Block] = []
    for got, want in zip(
        bark.generate(TEXTS, on_block=blocks.append, **OPTIONS), plain, strict=True
    ):
        check_equal(got, want)
        assert got.finish_reason == "max_duration"
    assert list(dict.fromkeys(block.stage for block in blocks)) == ["semantic", "coarse", "fine"]
    for stage in ("semantic", "coarse"):
        own = [block for block in blocks if block.stage == stage]
        lengths = [block.tokens[1].shape[-1] for block in own]
        assert lengths == sorted(lengths) and len(set(lengths)) > 3
        for block in own:
            for row, tokens in block.tokens.items():
                whole = getattr(plain[row], stage)
                np.testing.assert_array_equal(tokens, whole[..., : tokens.shape[-1]])
                assert (row in block.running) == (tokens.shape[-1] < whole.shape[-1])
    np.testing.assert_array_equal(blocks[-1].tokens[1], plain[1].fine)
    assert not blocks[-1].running


@pytest.mark.parametrize("stage", ["semantic", "coarse", "fine"])
@pytest.mark.parametrize("guidance", [None, Guidance(voice=tiny.make_voice(), scale=1.0)])
def test_a_cancelled_row_keeps_what_its_stage_has_made(bark, plain, stage, guidance):
    def cancel(block: Block) -> None:
        if block.stage == stage and 1 in block.tokens and block.tokens[1].shape[-1] >= 9:
            block.cancel(1)

    rows = bark.generate(TEXTS, on_block=cancel, guidance=guidance, **OPTIONS)
    for i in (0, 2):
        check_equal(rows[i], plain[i])
        assert rows[i].audio.size
    row = rows[1]
    assert row.finish_reason == "cancelled" and not row.audio.size
    kept = row.semantic if stage == "semantic" else row.coarse
    whole = plain[1].semantic if stage == "semantic" else plain[1].coarse
    assert kept.shape[-1] >= 9
    np.testing.assert_array_equal(kept, whole[..., : kept.shape[-1]])
    if stage != "fine":
        assert kept.shape[-1] < whole.shape[-1]
    assert row.fine.shape == (L.n_fine_codebooks, 0)


def test_a_stream_tells_of_its_rows_by_number_and_fills_the_place_of_a_cancelled_one(bark, plain):
    texts = TEXTS * 2
    durations = OPTIONS["sampling"]["semantic"]["max_duration_s"] * 2
    sampling = {"semantic": {"allow_early_stop": False, "max_duration_s": durations}}
    options = {"seed": OPTIONS["seed"] * 2, "sampling": sampling}
    seen: set[int] = set()

    def cancel(block: Block) -> None:
        seen.update(block.tokens)
        if block.stage == "semantic" and len(block.tokens.get(4, ())) >= 9:
            block.cancel(4)

    rows = dict(bark.stream(texts, on_block=cancel, batch_rows=2, **options))
    assert seen == set(range(6))
    for i in (0, 1, 2, 3, 5):
        check_equal(rows[i], plain[i % 3])
    assert rows[4].finish_reason == "cancelled" and not rows[4].audio.size
    n = len(rows[4].semantic)
    assert 9 <= n < len(plain[1].semantic)
    np.testing.assert_array_equal(rows[4].semantic, plain[1].semantic[:n])


def test_a_stage_ends_when_all_rows_are_cancelled(bark):
    calls: list[str] = []

    def cancel(block: Block) -> None:
        calls.append(block.stage)
        for row in block.tokens:
            block.cancel(row)

    for row in bark.generate(TEXTS, on_block=cancel, **OPTIONS):
        assert row.finish_reason == "cancelled" and 0 < len(row.semantic) <= 8
    assert calls.count("semantic") == 1


def test_errors_of_the_callback_end_the_call_and_unknown_rows_are_refused(bark):
    with pytest.raises(ValueError, match="row=7 is not at hand; want one of"):
        bark.generate("hello", on_block=lambda block: block.cancel(7))


def test_watching_compiles_nothing(bark, plain, compilations):
    bark.generate(TEXTS, **OPTIONS)
    before = compilations()
    bark.generate(TEXTS, on_block=lambda block: None, **OPTIONS)
    assert compilations() == before
