"""Coarse codes of one text, drawn window by window as soon as their semantic tokens are known."""

import dataclasses
import math
from typing import Any

import numpy as np

from bark_jax.batching import Batch
from bark_jax.decoding.cache_growth import cache_sizes
from bark_jax.decoding.noise import KeyNoise
from bark_jax.decoding.sampling import Filter
from bark_jax.params import Params
from bark_jax.runtime.sharding import fetch
from bark_jax.stages.coarse import State, advance, begin, contexts, earlier
from bark_jax.stages.coarse_plan import CoarsePlan, make_plan, segment_end, unflatten
from bark_jax.stages.runner import StageRunner

ENDLESS = 1 << 30  # tokens of a row whose end is not known


class CoarseDraws:
    """Tokens so far.

    A window reads a fixed number of semantic tokens, of which those beyond its own are the context
    to come. Without a voice the first windows see far ahead, all later ones some tokens only (47 of
    256 for Bark).

    Exact: a window waits for all that it reads, and the tokens are the whole stage's: the
    same programs make them, in the same segments.
    Early: every window waits for as many tokens ahead as the later ones see, and takes the others
    for silence. It reads its whole context anew until it sees all of it.
    """

    def __init__(self, runner: StageRunner, batch: Batch, *, is_early: bool) -> None:
        voice = batch.voices[0]
        self._runner = runner
        self._layout = runner.config.tokens
        self._history = voice and (voice.semantic, voice.coarse)
        self._is_early = is_early
        self._by = Filter.of(batch.sampling["coarse"])
        self._noise = KeyNoise.of(batch.seeds, "coarse")
        self._made_1N = np.zeros((1, 0), np.int32)
        self._state: State | None = None
        self._first = self._end = 0  # tokens before the segment, and where it ends

    @property
    def n_done(self) -> int:
        """Tokens so far, of all codebooks together."""
        return self._made_1N.shape[1]

    @property
    def n_frames(self) -> int:
        """Frames of which all codebooks are there."""
        return self.n_done // self._layout.n_coarse_codebooks

    def codes(self, begin: int = 0) -> np.ndarray:
        """Codes (Q, T) of the frames from `begin` on."""
        Q = self._layout.n_coarse_codebooks
        return unflatten(self._made_1N[0, begin * Q : self.n_frames * Q], self._layout)

    def n_tokens(self, n_semantic: int) -> int:
        """Coarse tokens of so many semantic ones."""
        return self._plan(np.zeros(n_semantic, np.int32)).n_tokens

    def needs(self) -> int:
        """Semantic tokens that the next window waits for, unless they end before."""
        if self.n_done < self._end and not self._is_early:
            return 0
        layout, n_done = self._layout, self.n_done
        plan = self._endless(np.zeros(0, np.int32))
        if self._is_early:
            end = n_done + layout.coarse_window
            ahead = layout.coarse_semantic_length - math.floor(
                plan.max_history / layout.coarse_per_semantic
            )
            context = round(n_done / layout.coarse_per_semantic) + ahead
        else:
            end = segment_end([plan], n_done, layout.coarse_window, ENDLESS)
            context = plan.starts(n_done)[0] + layout.coarse_semantic_length - plan.n_history
        frames = -(-end // layout.n_coarse_codebooks)
        last = math.ceil(frames * layout.n_coarse_codebooks / layout.coarse_per_semantic)
        return max(1, context, last)

    def step(self, semantic: np.ndarray, is_end: bool) -> None:
        """Draws a window, given `needs()` semantic tokens or all that there are."""
        plan = self._plan(semantic) if is_end else self._endless(semantic)
        if self.n_done >= plan.n_tokens:
            return
        static = {"cfg": self._runner.config, "execution": self._runner.execution_of("coarse")}
        with self._runner.on_device("coarse") as params:
            state = self._state
            if state is None or self.n_done >= self._end:
                state = self._begin(params, plan, is_end, static)
            until = min(self.n_done + self._layout.coarse_window, self._end, plan.n_tokens)
            first, steps = np.int32(self._first), np.int32(until - self._first)
            state = advance(
                params, state, self._by, self._noise, first, steps, self._earlier(), **static
            )
            new_1N = fetch(state.tokens_BN)[:, : until - self._first]
        self._state = state
        self._made_1N = np.concatenate([self._made_1N[:, : self._first], new_1N], axis=1)

    def _begin(
        self, params: Params, plan: CoarsePlan, is_end: bool, static: dict[str, Any]
    ) -> State:
        """Begins a segment: what one reading of the context serves."""
        layout = self._layout
        self._first = self.n_done
        seen = plan.starts(self._first)[0] + layout.coarse_semantic_length
        is_full = is_end or seen <= len(plan.semantic)
        if is_full:
            self._end = segment_end([plan], self._first, layout.coarse_window, plan.n_tokens)
        else:
            self._end = self._first + layout.coarse_window
        # early windows share few programs
        multiple = 32 if is_full else -(-plan.max_history // 2)
        ids_1P, length_1 = contexts([plan], self._made_1N, self._first, multiple)
        n_steps = self._end - self._first
        (slots,) = cache_sizes(1, ids_1P.shape[1], n_steps, self._runner.execution.platform)
        first = np.int32(self._first)
        traced = (ids_1P, length_1, self._by, self._noise, first, self._earlier())
        return begin(params, *traced, slots=slots, **static)

    def _earlier(self) -> np.ndarray | None:
        """Tokens before the segment, at which processors look."""
        if not self._by.steps:
            return None
        most = self.n_tokens(self._layout.max_semantic_tokens)
        return earlier(self._made_1N[:, : self._first], most)

    def _plan(self, semantic: np.ndarray) -> CoarsePlan:
        return make_plan(semantic, self._history, self._layout, self._layout.max_coarse_history)

    def _endless(self, semantic: np.ndarray) -> CoarsePlan:
        return dataclasses.replace(self._plan(semantic), n_tokens=ENDLESS)
