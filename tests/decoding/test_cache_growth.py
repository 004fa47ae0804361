"""A cache that grows gives what one that is large from the start gives."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bark_jax.decoding.cache_growth import cache_sizes, chunks, most_draws, with_slots
from bark_jax.decoding.loop import read_prompt, read_token
from bark_jax.models.binding import bind
from bark_jax.models.gpt import GPT
from bark_jax.runtime.platforms import CPU, PLATFORMS
from bark_jax.sampling_config import Chain
from bark_jax.stages import semantic_stream
from bark_jax.stages.semantic_stream import Request, stream_semantic
from tests import tiny
from tests.stages import test_coarse
from tests.stages.test_semantic import MIXED, ids_of, run


@pytest.mark.parametrize(
    "n_rows, prompt, draws, sizes",
    [
        (8, 257, 150, (576,)),  # 406 slots; more of them are quicker
        (1, 257, 150, (576,)),
        (8, 257, 768, (576, 1024)),
        (1, 257, 768, (1024,)),
        (8, 257, 630, (576, 896)),
        (8, 557, 630, (1152, 1216)),  # 576 are almost full with the prompt
        (8, 887, 60, (960,)),
        (8, 33, 96, (128,)),  # far below 576
    ],
)
def test_sizes_on_cpu(n_rows, prompt, draws, sizes):
    assert cache_sizes(n_rows, prompt, draws, CPU) == sizes


def test_a_call_ends_where_the_cache_is_full():
    # the first draw comes from the prompt, and the last one is not read: 576 = 257 + 320 - 1
    assert list(chunks((576, 1024), 257, 768, None, CPU)) == [(320, 576), (768, 1024)]
    assert list(chunks((576,), 257, 150, None, CPU)) == [(150, 576)]
    assert list(chunks((32, 64), 13, 40, 16, CPU)) == [(16, 32), (20, 32), (32, 64), (40, 64)]
    assert list(chunks((576,), 257, 1, 32, CPU)) == [(1, 576)]


def test_blocks_of_steps_have_room_to_run_past_the_end():
    platform = tiny.execution(block_steps=16).platform
    assert most_draws(576, 257, platform) == 305
    assert next(chunks((576, 1024), 257, 768, None, platform)) == (305, 576)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_was_read_stays_read(platform):
    """A row begins when the ring is half full, and sees its tokens through two turns of it.

    It is read for as long as the grown ring can hold it, so that a wrong order would lose some.
    """
    cfg, params = tiny.CONFIG.coarse, tiny.stage_params("coarse")
    ids_BT = np.random.default_rng(0).integers(0, cfg.input_vocab_size, (2, 37))
    prompt, begins, grows = 9, 14, 20

    def model():
        return bind(GPT, cfg, tiny.execution(platform), params=params)

    @jax.jit
    def step(token_B, context):
        return read_token(model(), token_B, context)

    @functools.partial(jax.jit, static_argnums=0)
    def begin(slots):
        x_BPD = model().embed(ids_BT[:, :prompt])
        return read_prompt(model(), x_BPD, jnp.array([prompt, 4]), slots)[1]

    def read(slots):
        context = begin(slots)
        outs = []
        for t in range(prompt, ids_BT.shape[1]):
            if t == begins:
                is_prompt_M = jnp.arange(context.slots) < prompt
                context = dataclasses.replace(
                    context,
                    visible_BM=context.visible_BM.at[0].set(is_prompt_M),
                    position_B=context.position_B.at[0].set(prompt),
                )
            if t == grows:
                context = with_slots(context, 32)
            out_BD, context = step(ids_BT[:, t], context)
            outs.append(out_BD[0])
        return np.stack(outs)[begins - prompt :]

    # float32 rounding, as in test_loop.py
    np.testing.assert_allclose(read(prompt + 8), read(64), atol=1e-5)


SMALL = tiny.execution(first_slots=32)
SMALL_IN_BLOCKS = tiny.execution(first_slots=32, block_steps=16)


def test_semantic_rows_give_the_same_tokens():
    prompts = [ids_of(seed, n_history=5 * seed) for seed in range(8)]
    want = run(prompts, **MIXED)
    seen: list[int] = []
    got = run(prompts, report=seen.append, execution=SMALL_IN_BLOCKS, **MIXED)
    assert seen == [most_draws(32, 13, SMALL_IN_BLOCKS.platform), 32, 40], "the cache grew once"
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a.tokens, b.tokens)


def test_no_cache_grows_when_all_rows_have_ended(compilations):
    run([ids_of(0), ids_of(1)], execution=SMALL, max_duration_s=1.0)
    before = compilations()
    limits = {"max_duration_s": [1.0, 4.0], "min_eos_p": 0.0}
    run([ids_of(2), ids_of(3)], seeds=[5, 6], execution=SMALL, **limits)
    assert compilations() == before


def test_coarse_rows_give_the_same_codes():
    want = test_coarse.run(30, 20)
    got = test_coarse.run(30, 20, execution=SMALL_IN_BLOCKS)
    for codes_QT, want_QT in zip(got, want, strict=True):
        np.testing.assert_array_equal(codes_QT, want_QT)


def test_a_stream_grows_in_the_middle_of_its_ring(monkeypatch):
    """Short rows turn the ring over before a long one comes."""
    durations = [0.5, 0.8, 0.3, 0.5, 1.0, 0.4, None, 0.7, None, 0.2]
    sampling = {"temperature": 0.7, "top_k": None, "top_p": None, "min_eos_p": None}
    sampling |= {"processors": Chain()}
    rows = [sampling | {"max_duration_s": s, "allow_early_stop": False} for s in durations]
    solo = [
        run([ids_of(i)], [i], **{name: [value] for name, value in row.items()})[0]
        for i, row in enumerate(rows)
    ]
    monkeypatch.setattr(semantic_stream, "STEPS_BETWEEN_LOOKS", 4)
    grown: list[tuple[int, int]] = []
    enlarge = semantic_stream.with_slots

    def with_slots(context, slots):
        if context.slots < slots:
            grown.append((int(context.slot), slots))
        return enlarge(context, slots)

    monkeypatch.setattr(semantic_stream, "with_slots", with_slots)
    requests = [Request(ids_of(i)[None], row, i) for i, row in enumerate(rows)]
    ended = dict(
        stream_semantic(
            tiny.stage_params("semantic"), requests, 3, cfg=tiny.CONFIG, execution=SMALL
        )
    )
    assert [slots for _, slots in grown] == [64]
    for i, want in enumerate(solo):
        np.testing.assert_array_equal(ended[i].tokens, want.tokens, err_msg=f"request {i}")
