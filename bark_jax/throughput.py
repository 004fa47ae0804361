"""Batches through all stages: one as a whole, or any number of rows as a stream."""

import time
from collections.abc import Iterator, Sequence

from bark_jax.batching import Batch
from bark_jax.generation import Generation
from bark_jax.stages.runner import StageRunner, Timings
from bark_jax.stages.semantic import SemanticResult

OFFLOADED_PART = 16  # times the rows under way: rows between two placements of a stage


def generate(runner: StageRunner, batch: Batch, progress: bool = False) -> list[Generation]:
    """Every row of a batch, stage by stage."""
    timings: Timings = {}
    semantic = runner.semantic(batch, None, progress, timings)
    return _finish(runner, batch, semantic, progress, timings)


def stream(runner: StageRunner, batch: Batch, n_rows: int) -> Iterator[tuple[int, Generation]]:
    """Yields (row, generation) as rows are ready; `n_rows` are under way at a time.

    The semantic stage, where lengths differ most, seats a new row as soon as one has ended. Ended
    rows of similar length then go through the other stages together. With offloaded parameters a
    number of rows end first, for the device holds one stage at a time.
    """
    longest_first = sorted(range(batch.n_rows), key=lambda row: -len(batch.texts[row]))
    part = OFFLOADED_PART * n_rows if runner.is_offloaded else batch.n_rows
    for begin in range(0, batch.n_rows, part):
        rows = longest_first[begin : begin + part]
        yield from _stream_part(runner, batch.take(rows), rows, n_rows)


def _stream_part(
    runner: StageRunner, ordered: Batch, original: Sequence[int], n_rows: int
) -> Iterator[tuple[int, Generation]]:
    """`stream` for rows in the order of their work; `original` are their numbers."""
    timings: Timings = {}
    waiting: list[tuple[int, SemanticResult]] = []
    begin = time.perf_counter()

    def pass_on(least: int) -> Iterator[tuple[int, Generation]]:
        """Hands groups of similar length on while more than `least` rows wait."""
        nonlocal begin
        waiting.sort(key=lambda item: len(item[1].tokens))
        while len(waiting) > least:
            group = [waiting.pop() for _ in range(min(n_rows, len(waiting)))]
            timings["semantic"] = time.perf_counter() - begin
            yield from _finish_group(runner, ordered, group, original, timings, n_rows)
            begin = time.perf_counter()

    ended = runner.semantic_stream(ordered, n_rows)
    for item in list(ended) if runner.is_offloaded else ended:
        waiting.append(item)
        if len(waiting) >= 2 * n_rows:
            yield from pass_on(n_rows)
    yield from pass_on(0)


def _finish_group(
    runner: StageRunner,
    ordered: Batch,
    group: Sequence[tuple[int, SemanticResult]],
    original: Sequence[int],
    timings: Timings,
    n_rows: int,
) -> Iterator[tuple[int, Generation]]:
    """A last, smaller group is filled up with its first row, so that no new shape compiles."""
    filled = [*group, *[group[0]] * (min(n_rows, ordered.n_rows) - len(group))]
    rows = [row for row, _ in filled]
    made = _finish(runner, ordered.take(rows), [s for _, s in filled], False, dict(timings))
    for row, generation in zip(rows[: len(group)], made, strict=False):
        yield original[row], generation


def _finish(
    runner: StageRunner,
    batch: Batch,
    semantic: Sequence[SemanticResult],
    progress: bool,
    timings: Timings,
) -> list[Generation]:
    """The stages after the semantic one. A row without tokens gets no audio."""
    tokens = [row.tokens for row in semantic]
    coarse = runner.coarse(tokens, batch, None, progress, timings)
    fine = runner.fine(coarse, batch, None, progress, timings)
    audio = runner.decode(fine, timings)
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
        )
        for i in range(batch.n_rows)
    ]
