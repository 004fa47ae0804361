"""Any number of rows through all stages, in a batch that stays full: continuous batching."""

import time
from collections.abc import Iterator, Sequence

from bark_jax.batching import Batch
from bark_jax.generation import Generation
from bark_jax.stages.chain import Timings, finish
from bark_jax.stages.rehearsal import rehearsing
from bark_jax.stages.runner import StageRunner
from bark_jax.stages.semantic import SemanticResult

OFFLOADED_PART = 16  # times `n_rows`: rows between two placements of a stage on the device


def stream(runner: StageRunner, batch: Batch, n_rows: int) -> Iterator[tuple[int, Generation]]:
    """Yields (row, generation) as rows are ready; `n_rows` run at a time.

    The semantic stage, where lengths differ most, starts a new row as soon as one has ended. Ended
    rows of similar length then go through the other stages together. With offloaded parameters many
    rows end first, because the device holds one stage at a time.
    """
    longest_first = sorted(range(batch.n_rows), key=lambda row: -len(batch.texts[row]))
    part = OFFLOADED_PART * n_rows if runner.is_offloaded else batch.n_rows
    for begin in range(0, batch.n_rows, part):
        rows = longest_first[begin : begin + part]
        yield from _stream_part(runner, batch.take(rows), rows, n_rows)


def _stream_part(
    runner: StageRunner, ordered: Batch, original: Sequence[int], n_rows: int
) -> Iterator[tuple[int, Generation]]:
    """`stream` for rows in processing order; `original` are their numbers."""
    waiting: list[tuple[int, SemanticResult]] = []
    begin = time.perf_counter()

    def pass_on(least: int) -> Iterator[tuple[int, Generation]]:
        """Finishes groups of similar length while more than `least` rows wait."""
        nonlocal begin
        waiting.sort(key=lambda item: len(item[1].tokens))
        while len(waiting) > least:
            group = [waiting.pop() for _ in range(min(n_rows, len(waiting)))]
            timings = {"semantic": time.perf_counter() - begin}
            yield from _finish_group(runner, ordered, group, original, timings, n_rows)
            begin = time.perf_counter()

    with rehearsing(runner, ordered.take(range(min(n_rows, ordered.n_rows)))):
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
    made = finish(runner, ordered.take(rows), [result for _, result in filled], timings)
    for row, generation in zip(rows[: len(group)], made, strict=False):
        yield original[row], generation
