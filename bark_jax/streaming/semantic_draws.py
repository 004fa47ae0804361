"""Semantic tokens of one text, drawn as far as others need them."""

from typing import Any

import numpy as np

from bark_jax.batching import Batch
from bark_jax.decoding.cache_growth import cache_sizes
from bark_jax.decoding.noise import KeyNoise
from bark_jax.decoding.sampling import Filter
from bark_jax.params import Params
from bark_jax.stages.runner import StageRunner
from bark_jax.stages.semantic import (
    Ending,
    SemanticResult,
    State,
    advance,
    begin,
    max_tokens,
    prompt_slots,
    results,
    rows_done,
)


class SemanticDraws:
    """Tokens so far. They are those of the whole stage: the same programs make them."""

    def __init__(self, runner: StageRunner, batch: Batch) -> None:
        """`batch` has one row."""
        self._runner, self._batch = runner, batch
        layout, rows = runner.config.tokens, runner.semantic_sampling(batch)
        self._by, self._ending = Filter.of(rows), Ending.of(rows, layout)
        self._noise = KeyNoise.of(batch.seeds, "semantic")
        self._limit = max_tokens(rows["max_duration_s"][0], layout)
        self._state: State | None = None
        self.result = SemanticResult(np.zeros(0, np.int32), "")
        self.is_end = False

    @property
    def tokens(self) -> np.ndarray:
        return self.result.tokens

    def draw(self, until: int) -> None:
        """Draws until there are `until` tokens or they have ended."""
        if self.is_end or until <= len(self.tokens):
            return
        traced = (self._by, self._ending, self._noise)
        static = {"cfg": self._runner.config, "execution": self._runner.execution_of("semantic")}
        with self._runner.on_device("semantic") as params:
            state = self._begin(params, static) if self._state is None else self._state
            state = advance(params, state, *traced, np.int32(until), **static)
            (self.result,) = results(state, self._runner.config.tokens)
            self.is_end = bool(rows_done(state, self._ending).all())
        self._state = None if self.is_end else state  # which holds the cache

    def _begin(self, params: Params, static: dict[str, Any]) -> State:
        prompt = prompt_slots(self._runner.config.tokens)
        (slots,) = cache_sizes(1, prompt, self._limit, self._runner.execution.platform)
        ids_BT = np.stack(self._runner.prompts(self._batch))
        traced = (self._by, self._ending, self._noise)
        return begin(params, ids_BT, *traced, slots=slots, **static)
