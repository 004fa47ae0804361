"""From the guidance of a batch's rows to what the semantic and the coarse stage are given."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from bark_jax.batching import Batch
from bark_jax.config import TokenLayout
from bark_jax.decoding.guidance import Guide
from bark_jax.guidance import SAME
from bark_jax.text import Tokenizer


def is_guided(batch: Batch, stage: str) -> bool:
    """Whether a row's other condition is another one to this stage."""
    return any(other is not None and other.differs(stage) for other in batch.others)


def with_others(batch: Batch, stage: str) -> Batch:
    """The batch with each row's other condition after it, if the stage is guided.

    Only its texts (None: no text) and voices matter. A row that is not guided is its own other
    condition.
    """
    if not is_guided(batch, stage):
        return batch
    both = batch.take([row for row in range(batch.n_rows) for _ in range(2)])
    texts: list[Any] = list(both.texts)
    voices = list(both.voices)
    for row, other in enumerate(batch.others):
        if other is not None and other.text is not SAME:
            texts[2 * row + 1] = other.text.strip() or None  # a text without words is none
        if other is not None and other.voice is not SAME:
            voices[2 * row + 1] = other.voice
    return dataclasses.replace(both, texts=texts, voices=voices)


@contextlib.contextmanager
def guide_of(batch: Batch, stage: str) -> Iterator[Guide | None]:
    """What the stage's programs are given, or None; the other model's parameters are in place."""
    if not is_guided(batch, stage):
        yield None
        return
    differing = [o if o is not None and o.differs(stage) else None for o in batch.others]
    # 1 takes a row's own logits as they are
    scale_B = jnp.asarray(np.array([1 if o is None else o.scale for o in differing], np.float32))
    model = next((other.model for other in differing if other is not None), None)
    if model is None:
        yield Guide(scale_B)
        return
    runner = model.runner
    with runner.params[stage].on_device() as params:
        yield Guide(scale_B, params, getattr(runner.config, stage), runner.execution_of(stage))


def check_guidance(batch: Batch, layout: TokenLayout, tokenizer: Tokenizer) -> None:
    """Raises ValueError if the model that guides has other tokens or text vocabulary."""
    for other in batch.others:
        if other is None or other.model is None:
            continue
        runner = other.model.runner
        if runner.config.tokens != layout:
            raise ValueError("guidance.model has another token layout than the model it guides")
        if runner.tokenizer.pieces != tokenizer.pieces:
            raise ValueError("guidance.model has another text vocabulary than the model it guides")
