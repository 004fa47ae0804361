"""One batch through all stages."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Sequence

import numpy as np

from bark_jax.batching import Batch
from bark_jax.generation import Generation
from bark_jax.hooks.trace import Trace
from bark_jax.stages.rehearsal import rehearsing
from bark_jax.stages.runner import StageRunner
from bark_jax.stages.semantic import SemanticResult
from bark_jax.watching import CANCELLED

Timings = dict[str, float]  # stage -> [s]


def generate(runner: StageRunner, batch: Batch, *, progress: bool = False) -> list[Generation]:
    """Every row of a batch, stage by stage."""
    timings: Timings = {}
    with rehearsing(runner, batch):
        with timed(timings, "semantic"):
            semantic = runner.semantic(batch, progress=progress)
        return finish(runner, batch, semantic, timings, progress=progress)


def finish(
    runner: StageRunner,
    batch: Batch,
    semantic: Sequence[SemanticResult],
    timings: Timings,
    *,
    progress: bool = False,
) -> list[Generation]:
    """The stages after the semantic one. A row without tokens gets no audio.

    Args:
      timings: what the stages so far took [s].
    """
    timings = dict(timings)
    tokens = batch.going_on([row.tokens for row in semantic])
    traces = [{f"semantic.{name}": kept for name, kept in row.seen.items()} for row in semantic]
    with timed(timings, "coarse"):
        coarse = runner.coarse(tokens, batch, progress=progress, traces=traces)
    with timed(timings, "fine"):
        fine = runner.fine(batch.going_on(coarse), batch, progress=progress)
        fine = batch.going_on(fine)
    with timed(timings, "codec"):
        audio = runner.decode(fine)
    ended = [
        dataclasses.replace(row, finish_reason=CANCELLED) if batch.is_cancelled(i) else row
        for i, row in enumerate(semantic)
    ]
    made = zip(ended, coarse, fine, audio, strict=True)
    return [
        generation_of(runner, batch, i, *row, timings, Trace(traces[i]))
        for i, row in enumerate(made)
    ]


def generation_of(
    runner: StageRunner,
    batch: Batch,
    row: int,
    semantic: SemanticResult,
    coarse: np.ndarray,
    fine: np.ndarray,
    audio: np.ndarray,
    timings: Timings,
    trace: Trace,
) -> Generation:
    """What the stages made of a row, as a result."""
    return Generation(
        audio=audio,
        sample_rate=runner.config.sample_rate,
        semantic=semantic.tokens,
        coarse=coarse,
        fine=fine,
        text=batch.texts[row],
        seed=batch.seeds[row],
        finish_reason=semantic.finish_reason,
        timings=timings,
        settings=batch.settings(row),
        origin=runner.origin,
        trace=trace,
    )


@contextlib.contextmanager
def timed(timings: Timings, stage: str) -> Iterator[None]:
    """Records how long a stage takes, in all the blocks for it together."""
    begin = time.perf_counter()
    yield
    timings[stage] = timings.get(stage, 0.0) + time.perf_counter() - begin
