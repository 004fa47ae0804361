"""One batch through all stages."""

import contextlib
import time
from collections.abc import Iterator, Sequence

from bark_jax.batching import Batch
from bark_jax.generation import Generation
from bark_jax.stages.runner import StageRunner
from bark_jax.stages.semantic import SemanticResult

Timings = dict[str, float]  # stage -> [s]


def generate(runner: StageRunner, batch: Batch, *, progress: bool = False) -> list[Generation]:
    """Every row of a batch, stage by stage."""
    timings: Timings = {}
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
    tokens = [row.tokens for row in semantic]
    with timed(timings, "coarse"):
        coarse = runner.coarse(tokens, batch, progress=progress)
    with timed(timings, "fine"):
        fine = runner.fine(coarse, batch, progress=progress)
    with timed(timings, "codec"):
        audio = runner.decode(fine)
    return [
        Generation(
            audio=audio[i],
            sample_rate=runner.config.sample_rate,
            semantic=tokens[i],
            coarse=coarse[i],
            fine=fine[i],
            text=batch.texts[i],
            seed=batch.seeds[i],
            finish_reason=semantic[i].finish_reason,
            timings=timings,
            settings=batch.settings(i),
            origin=runner.origin,
        )
        for i in range(batch.n_rows)
    ]


@contextlib.contextmanager
def timed(timings: Timings, stage: str) -> Iterator[None]:
    """Records how long a stage takes."""
    begin = time.perf_counter()
    yield
    timings[stage] = time.perf_counter() - begin
