"""Speech held to its text's phones: order, pauses, the end, and what likelihood counts for."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bark_jax.processors.context import NO_ID, DrawContext
from bark_jax.processors.follow import MOST_TOKENS, FollowPhones
from bark_jax.processors.rows import Step
from bark_jax.sampling_config import Chain
from bark_jax.stages.follow import rows_that_follow
from bark_jax.text import TextSettings, Tokenizer, encode_text
from tests import tiny

N_PHONES, STATES, SILENCE, N_SETS = 5, 3, 4, 2
END = N_SETS * N_PHONES * STATES
PHONES = [[0, 2, 2, 1], [3, 0]]
PAUSES = [[0, 1, 0, 1], [0, 1]]


def follow(phones, may_pause) -> FollowPhones:
    width = max(map(len, phones))
    padded = [row + [NO_ID] * (width - len(row)) for row in phones]
    pauses = [row + [0] * (width - len(row)) for row in may_pause]
    return FollowPhones(
        np.array(padded), np.array(pauses), silence=SILENCE, n_phones=N_PHONES, states=STATES
    )  # fmt: skip


@jax.jit
def changed(processor, logits_BV, tokens_BN, count_B):
    context = DrawContext(count_B, 0, END, [(tokens_BN, count_B)])
    return Step(processor, jnp.ones(len(logits_BV), bool))(logits_BV, context)


def units(tokens) -> list[tuple[int, int]]:
    """(unit, tokens of it), with repeated phones apart."""
    found: list[list[int]] = []
    before = (-1, 0)
    for token in tokens:
        unit, state = divmod(int(token), STATES)
        if unit != before[0] or state < before[1]:
            found.append([unit, 0])
        found[-1][1] += 1
        before = (unit, state)
    return [(unit, length) for unit, length in found]


def test_any_model_says_the_phones_of_its_text_and_then_ends():
    """Random logits; both rows end, and only then. Phones may be in either speaker's voice."""
    processor, rng = follow(PHONES, PAUSES), np.random.default_rng(0)
    for _ in range(6):
        tokens = np.full((2, 96), NO_ID, np.int32)
        count = np.zeros(2, np.int32)
        is_done = np.zeros(2, bool)
        while not is_done.all():
            logits = rng.normal(0, 2, (2, END + 1)).astype(np.float32)
            drawn = np.asarray(changed(processor, logits, tokens, count)).argmax(1)
            for row in np.flatnonzero(~is_done):
                if drawn[row] == END:
                    is_done[row] = True
                else:
                    tokens[row, count[row]] = drawn[row]
                    count[row] += 1
        for row in range(2):
            spoken = units(tokens[row, : count[row]])
            said = [unit % N_PHONES for unit, _ in spoken]
            assert [phone for phone in said if phone != SILENCE] == PHONES[row]
            assert max(length for _, length in spoken) <= MOST_TOKENS
            n_said = 0
            for before, phone in zip([None, *said], said, strict=False):
                n_said += phone != SILENCE
                if phone == SILENCE:
                    assert before != SILENCE and (n_said == 0 or PAUSES[row][n_said - 1])


def test_an_end_that_is_closed_stays_closed():
    """After the last phone what would leave it ends the speech, but not where it may not end."""
    logits = np.zeros((2, END + 1), np.float32)
    logits[1, END] = -np.inf
    tokens, count = np.array([[9, 9], [9, 9]]), np.array([2, 2])
    made = np.asarray(changed(follow([[3], [3]], [[1], [1]]), logits, tokens, count))
    assert np.isfinite(made[0, END]) and np.isneginf(made[1, END])
    assert np.isfinite(made[1]).any()


def test_the_only_id_that_is_left_is_drawn_whatever_phone_it_is_of():
    logits = np.full((2, END + 1), -np.inf, np.float32)
    logits[0, 17] = logits[1, END] = 0
    tokens, count = np.array([[0, 1], [0, 1]]), np.array([2, 2])
    made = np.asarray(changed(follow([PHONES[0]] * 2, [PAUSES[0]] * 2), logits, tokens, count))
    np.testing.assert_array_equal(made, logits)


def test_what_leaves_a_phone_counts_for_the_next_one():
    """After phone 0 of the first speaker; no pause may follow."""
    logits = np.random.default_rng(1).normal(size=(1, END + 1)).astype(np.float32)
    tokens, count = np.array([[0, 1, NO_ID, NO_ID]]), np.array([2])
    made = np.asarray(changed(follow(PHONES[:1], PAUSES[:1]), logits, tokens, count))[0]
    np.testing.assert_array_equal(made[1:3], logits[0, 1:3])  # it may stay, or go on to the end
    assert np.isneginf(made[0]) and np.isneginf(made[END])
    share = np.exp(logits[0, :END]).reshape(N_SETS, N_PHONES, STATES)
    share[0, 0] = 0
    expected = np.log(share.sum(1))  # by speaker and state
    np.testing.assert_allclose(made[:END].reshape(share.shape)[:, 2], expected, rtol=1e-5)
    assert np.isfinite(made).sum() == 2 + N_SETS * STATES


LEXICON = {"a": ("ey",), "cat": ("k", "ae", "t"), "at": ("ae", "t")}
SOUNDS = ["ae", "ax", "ey", "k", "s", "t", "z", "ih"]
PIECES = [*tiny.PIECES, ",", *(f"<{p}>" for p in SOUNDS), *(f"##<{p}>" for p in SOUNDS)]
NAMES = [f"{voice}/{phone}" for voice in ("x", "y") for phone in [*SOUNDS, "pau"]]


@pytest.fixture
def tokenizer():
    vocab = {piece: index for index, piece in enumerate(PIECES)}
    return Tokenizer(vocab, TextSettings(follows_phones=True), LEXICON)


def test_a_row_follows_the_phones_of_its_text(tokenizer):
    rows = {"processors": [Chain()] * 3, "temperature": [1, 2, 3]}
    texts = ["at a cat, a", "dog at", "cat ☃"]
    layout = dataclasses.replace(tiny.LAYOUT, text_pad_token=53 + len(PIECES))
    made = rows_that_follow(rows, texts, tokenizer, layout, NAMES)
    assert made["temperature"] == [1, 2, 3]
    first, second, third = (chain.processors for chain in made["processors"])
    assert second == ()  # its "dog" is letters
    assert [phone for phone in third[0].phones if phone != NO_ID] == [3, 0, 5]
    names = [SOUNDS[phone] for phone in first[0].phones if phone != NO_ID]
    assert names == ["ae", "t", "ax", "k", "ae", "t", "ax"]  # "a" is not said as it is spelt
    assert list(first[0].may_pause) == [0, 0, 0, 0, 0, 1, 1, *5 * [0]]
    assert (first[0].silence, first[0].n_phones, first[0].states) == (8, 9, 3)
    assert len(first[0].phones) == len(third[0].phones) == tiny.LAYOUT.text_length


def test_a_text_without_a_word_to_follow_is_told(tokenizer, recwarn):
    layout = dataclasses.replace(tiny.LAYOUT, text_pad_token=53 + len(PIECES))
    with pytest.warns(UserWarning, match="text=',,' has no word: there is nothing to say"):
        encode_text(tokenizer, ",,", layout)
    encode_text(tokenizer, "at", layout)
    encode_text(tokenizer, "dog", layout)  # its letters are left to the model
    assert not recwarn.list
