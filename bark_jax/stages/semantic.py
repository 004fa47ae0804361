"""Text to semantic tokens.

Source: suno-ai/bark @f4f32d4, bark/generation.py, generate_text_semantic.
Differs: batched; a row that has ended waits for the others, unchanged.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from fractions import Fraction
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.config import BarkConfig, TokenLayout
from bark_jax.decoding.cache_growth import cache_sizes, chunks, with_slots
from bark_jax.decoding.guidance import CausalModel, Guide, bind_guided
from bark_jax.decoding.loop import (
    STEPS_BETWEEN_LOOKS,
    Context,
    jit_loop,
    read_prompt,
    read_token,
    repeat,
)
from bark_jax.decoding.noise import Noise
from bark_jax.decoding.sampling import Filter, draw, filter_logits, probability
from bark_jax.hooks.edits import Place
from bark_jax.hooks.tap import NO_HOOKS, Hooks, put, room_for, step_of
from bark_jax.models.forward import Seen
from bark_jax.params import Params
from bark_jax.processors.context import DrawContext
from bark_jax.runtime.compiling import jit
from bark_jax.runtime.execution import Execution
from bark_jax.runtime.sharding import fetch, split_rows
from bark_jax.sampling_config import Rows
from bark_jax.watching import Look


@dataclasses.dataclass(frozen=True)
class SemanticResult:
    """Result of one row."""

    tokens: np.ndarray  # (N,) int32, without the end-of-sequence token; N may be 0
    finish_reason: str  # "eos", "max_duration" or "max_tokens"
    seen: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)  # (N + 1, …) by name


@flax.struct.dataclass
class Ending:
    """When each row ends; all traced, (B,)."""

    max_tokens_B: Any  # int32
    min_eos_p_B: Any  # inf = only when drawn
    allow_early_stop_B: Any  # bool

    @classmethod
    def of(cls, rows: Rows, layout: TokenLayout) -> "Ending":
        """From the rows of `SemanticSampling`."""
        limits = [max_tokens(duration_s, layout) for duration_s in rows["max_duration_s"]]
        min_eos_p = [np.inf if p is None else p for p in rows["min_eos_p"]]
        return cls(
            np.array(limits, np.int32),
            np.array(min_eos_p, np.float32),
            np.array(rows["allow_early_stop"], bool),
        )


@flax.struct.dataclass
class State:
    """Carry of the token loop."""

    context: Context
    tokens_BN: jax.Array  # int32, the tokens drawn so far
    length_B: jax.Array  # int32, how many of them
    is_eos_B: jax.Array  # ended by the end token
    n: jax.Array  # int32 [], draws since the loop began
    seen: Seen = flax.struct.field(default_factory=dict)  # of each draw, (B, N + 1, …)

    def is_done(self, ending: Ending) -> jax.Array:
        return _is_done(self.is_eos_B, self.length_B, ending)


def generate_semantic(
    params: Params,
    ids_BT: np.ndarray,
    rows: Rows,
    noise: Noise,
    guide: Guide | None = None,
    *,
    cfg: BarkConfig,
    execution: Execution,
    hooks: Hooks = NO_HOOKS,
    report: Callable[[int], None] | None = None,
    look: Look | None = None,
) -> list[SemanticResult]:
    """Draws semantic tokens for every row until each has ended.

    Args:
      ids_BT: int32 prompts from `prompt`; with a `guide`, own and other conditions in turns.
      rows: one value per row of each field of `SemanticSampling`.
      noise: of the draws; injected noise is (B, steps, semantic vocabulary + 1).
      hooks: edits of the rows, and what is kept of every draw.
      report: called with the number of steps done, every few steps.
      look: called with the tokens so far, every few steps; see `watching.Watch`.
    """
    ending, by = Ending.of(rows, cfg.tokens), Filter.of(rows)
    limit = int(ending.max_tokens_B.max())
    prompt = prompt_slots(cfg.tokens)
    platform = execution.platform
    sizes = cache_sizes(len(ids_BT), prompt, limit, platform)
    static = {"cfg": cfg, "execution": execution}
    traced = (guide, hooks)
    state = begin(params, ids_BT, by, ending, noise, *traced, slots=sizes[0], **static)
    every = None if report is None and look is None else STEPS_BETWEEN_LOOKS
    for until, slots in chunks(sizes, prompt, limit, every, platform):
        state = dataclasses.replace(state, context=with_slots(state.context, slots))
        state = advance(params, state, by, ending, noise, np.int32(until), *traced, **static)
        if report is not None:
            report(until)
        is_done_B = rows_done(state, ending)
        if look is not None:
            ended = results(state, cfg.tokens)
            drawn = {i: row.tokens for i, row in enumerate(ended)}
            state = end_rows(state, look(drawn, np.flatnonzero(~is_done_B).tolist()))
            is_done_B = rows_done(state, ending)
        if is_done_B.all():
            break
    return results(state, cfg.tokens)


def rows_done(state: State, ending: Ending) -> np.ndarray:
    """Which rows have ended (B,), on the host."""
    return _is_done(fetch(state.is_eos_B), fetch(state.length_B), ending)


def _is_done(is_eos_B: Any, length_B: Any, ending: Ending) -> Any:
    return is_eos_B | (length_B >= ending.max_tokens_B)


def end_rows(state: State, rows: Collection[int]) -> State:
    """The state in which these rows have ended, as if by themselves."""
    if not rows:
        return state
    is_ended_B = np.isin(np.arange(len(state.length_B)), list(rows))
    return dataclasses.replace(state, is_eos_B=state.is_eos_B | jnp.asarray(is_ended_B))


def results(state: State, layout: TokenLayout) -> list[SemanticResult]:
    """What the rows have drawn so far, on the host."""
    tokens_BN, length_B, is_eos_B = map(fetch, (state.tokens_BN, state.length_B, state.is_eos_B))
    seen = {name: fetch(buffer) for name, buffer in state.seen.items()}
    return [
        SemanticResult(
            tokens_N[:length],
            _finish_reason(is_eos, length, layout),
            {name: buffer[row, : length + 1] for name, buffer in seen.items()},
        )
        for row, (tokens_N, length, is_eos) in enumerate(
            zip(tokens_BN, length_B, is_eos_B, strict=True)
        )
    ]


def prompt_slots(layout: TokenLayout) -> int:
    """Positions of a prompt: text and voice share positions, and the infer token follows."""
    return layout.text_length + 1


def prompt(text_T: np.ndarray, history: np.ndarray | None, layout: TokenLayout) -> np.ndarray:
    """One row's input ids: [text | history, padded on the right] [infer].

    Args:
      text_T: int32 (text_length,) from `text.encode_text`.
      history: semantic tokens of a voice; its last `text_length` are used.
    """
    padded = np.full(layout.text_length, layout.semantic_pad_token, np.int32)
    if history is not None:
        kept = history[-layout.text_length :]
        padded[: len(kept)] = kept
    return np.concatenate([text_T, padded, [layout.semantic_infer_token]]).astype(np.int32)


def max_tokens(max_duration_s: float | None, layout: TokenLayout) -> int:
    """Tokens until the duration is exceeded; the token that exceeds it still counts.

    The original sums 1/49.9 in float64, and its rounding matters (10 s are 499 tokens, not 500),
    so this sums too.
    """
    if max_duration_s is None:
        return layout.max_semantic_tokens
    token_s, total_s = 1 / float(Fraction(layout.semantic_rate_hz)), 0.0
    for n in range(1, layout.max_semantic_tokens):
        total_s += token_s
        if total_s > max_duration_s:
            return n
    return layout.max_semantic_tokens


def _finish_reason(is_eos: bool, length: int, layout: TokenLayout) -> str:
    if is_eos:
        return "eos"
    return "max_tokens" if length >= layout.max_semantic_tokens else "max_duration"


def _begin_fn(
    params: Params,
    ids_BT: jax.Array,
    by: Filter,
    ending: Ending,
    noise: Noise,
    guide: Guide | None = None,
    hooks: Hooks = NO_HOOKS,
    *,
    cfg: BarkConfig,
    execution: Execution,
    slots: int,
) -> State:
    """Reads the prompts and draws the first token of every row."""
    model = bind_guided(cfg.semantic, execution, params, guide)
    x_BPD = model.embed_merged(split_rows(ids_BT), cfg.tokens.text_length)
    P, B = x_BPD.shape[1], len(by.temperature_B)  # a guided row has two prompts
    length_B = jnp.full(len(x_BPD), P, jnp.int32)
    tap, seen = hooks.tap(lambda: Place(step_of(jnp.full(B, 1 - P), P)))
    out_BD, context = read_prompt(model, x_BPD, length_B, slots, tap)
    none_B = jnp.zeros(B, jnp.int32)
    # room for any duration, so that all durations share a program
    tokens_BN = jnp.zeros((B, cfg.tokens.max_semantic_tokens), jnp.int32)
    seen = {name: value[:, -1] for name, value in seen.items()}
    kept = put(room_for(seen, tokens_BN.shape[1] + 1), seen, lambda: none_B)
    state = State(context, tokens_BN, none_B, none_B.astype(bool), jnp.int32(0), kept)
    return _append(model, out_BD, state, by, ending, noise, cfg.tokens)


def _continue_fn(
    params: Params,
    state: State,
    by: Filter,
    ending: Ending,
    noise: Noise,
    until: jax.Array,
    guide: Guide | None = None,
    hooks: Hooks = NO_HOOKS,
    *,
    cfg: BarkConfig,
    execution: Execution,
) -> State:
    """Continues drawing until every row has ended or `until` draws have been made."""
    model = bind_guided(cfg.semantic, execution, params, guide)

    def step(state: State) -> State:
        last_B = jnp.take_along_axis(state.tokens_BN, (state.length_B - 1)[:, None], axis=1)
        # a row that ended with its first draw has no last token; what it reads does not matter
        tap, seen = hooks.tap(lambda: Place(state.length_B[:, None]))
        out_BD, context = read_token(model, last_B[:, 0], state.context, tap)
        seen = {name: value[:, 0] for name, value in seen.items()}
        past_end = state.tokens_BN.shape[1] + 1
        kept = put(
            state.seen,
            seen,
            lambda: jnp.where(state.is_done(ending), past_end, state.length_B),
        )
        state = dataclasses.replace(state, context=context, seen=kept)
        return _append(model, out_BD, state, by, ending, noise, cfg.tokens)

    def is_running(state: State) -> jax.Array:
        return jnp.any(~state.is_done(ending)) & (state.n < until)

    return repeat(step, state, is_running, execution.platform.block_steps)


begin = jit(_begin_fn, static_argnames=("cfg", "slots"))
advance = jit_loop(_continue_fn)


def _append(
    model: CausalModel,
    out_BD: jax.Array,
    state: State,
    by: Filter,
    ending: Ending,
    noise: Noise,
    layout: TokenLayout,
) -> State:
    """Draws one token for every row that has not ended."""
    eos = layout.semantic_pad_token
    logits_BV = model.logits(out_BD)[:, : eos + 1]
    is_eos_V = jnp.arange(eos + 1) == eos
    is_closed_BV = ~ending.allow_early_stop_B[:, None] & is_eos_V[None]

    def context() -> DrawContext:
        drawn = [(state.tokens_BN, state.length_B)]
        return DrawContext(position_B=state.length_B, codebook=0, end_id=eos, parts=drawn)

    logits_BV = filter_logits(jnp.where(is_closed_BV, -jnp.inf, logits_BV), by, context)
    gumbel_BV = noise.gumbel(state.length_B, (eos + 1,))
    token_B = draw(logits_BV, gumbel_BV, by.temperature_B)
    p_eos_B = probability(logits_BV, eos, token_B, by.temperature_B)
    is_eos_B = (token_B == eos) | (p_eos_B >= ending.min_eos_p_B)
    is_eos_B &= ending.allow_early_stop_B & ~state.is_done(ending)

    is_kept_B = ~is_eos_B & ~state.is_done(ending)
    rows_B = jnp.arange(token_B.shape[0])
    at_B = jnp.where(is_kept_B, state.length_B, state.tokens_BN.shape[1])  # past the end: dropped
    return dataclasses.replace(
        state,
        tokens_BN=state.tokens_BN.at[rows_B, at_B].set(token_B, mode="drop"),
        length_B=state.length_B + is_kept_B.astype(jnp.int32),
        is_eos_B=state.is_eos_B | is_eos_B,
        n=state.n + 1,
    )
