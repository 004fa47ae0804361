"""Reads recordings in worker processes, before they are needed.

Nothing here imports JAX, so that a worker is a small process and starts in a second.
"""

import collections
import dataclasses
import functools
import hashlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np

from bark_jax.data.pcm import quantize_audio, restore_audio
from bark_jax.preparation.clips import Clip, ClipSettings, read_clip
from bark_jax.preparation.corpus import Skipped, Utterance
from bark_jax.preparation.semantic_sources import SemanticSource

ROWS_PER_DRAW = 64
ROWS_PER_JOB = 8  # a job carries the tokenizer, so it should be worth sending


@dataclasses.dataclass(frozen=True, eq=False)
class ReadClip:
    """A recording that can become a record."""

    audio: np.ndarray  # (S,) int16
    begin_s: float  # where it begins in the recording
    semantic: np.ndarray | None  # (N,) int32; None without a source


def read_rows(
    utterances: Sequence[Utterance], clip: ClipSettings, source: SemanticSource | None
) -> list[ReadClip | Skipped]:
    """One result per utterance; what cannot be read is skipped with the reason."""
    import librosa  # noqa: F401  the limit below holds for libraries that are loaded
    import threadpoolctl

    # One thread: the other cores have their own workers, and sums keep their order.
    with threadpoolctl.threadpool_limits(1):
        return [_read_row(utterance, clip, source) for utterance in utterances]


class ClipReader:
    """A pool of workers; use as a context manager."""

    def __init__(self, clip: ClipSettings, workers: int | None) -> None:
        """`workers`: None is one per core, 0 reads in this process."""
        if workers is not None and workers < 0:
            raise ValueError(f"workers={workers} is less than 0")
        self._clip = clip
        n_workers = _n_cores() if workers is None else workers
        # Spawned: a fork of a process that runs JAX may hang.
        context = multiprocessing.get_context("spawn")
        self._pool = (
            ProcessPoolExecutor(n_workers, context, initializer=_end_with_parent)
            if n_workers
            else None
        )

    def __enter__(self) -> "ClipReader":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def read(
        self, parts: Sequence[Sequence[Utterance]], source: SemanticSource | None
    ) -> Iterator[list[ReadClip | Skipped]]:
        """Yields the results part by part; the next part is read meanwhile.

        Raises:
          RuntimeError: a worker died.
        """
        waiting: collections.deque[list[Callable[[], list[ReadClip | Skipped]]]] = (
            collections.deque()
        )
        for part in parts:
            waiting.append(self._submit(part, source))
            if len(waiting) > 1:
                yield _collect(waiting.popleft())
        while waiting:
            yield _collect(waiting.popleft())

    def draw(
        self, utterances: Sequence[Utterance], seconds: float
    ) -> list[tuple[Utterance, ReadClip]]:
        """Clips of about `seconds` in all, drawn by their ids alone; unusable ones are left out."""
        drawn = sorted(utterances, key=lambda each: hashlib.sha256(f"~{each.id}".encode()).digest())
        parts = [drawn[i : i + ROWS_PER_DRAW] for i in range(0, len(drawn), ROWS_PER_DRAW)]
        clips: list[tuple[Utterance, ReadClip]] = []
        missing = seconds * self._clip.sample_rate
        for part, results in zip(parts, self.read(parts, None), strict=False):
            for utterance, result in zip(part, results, strict=True):
                if isinstance(result, ReadClip) and missing > 0:
                    clips.append((utterance, result))
                    missing -= len(result.audio)
            if missing <= 0:
                break
        return clips

    def _submit(
        self, utterances: Sequence[Utterance], source: SemanticSource | None
    ) -> list[Callable[[], list[ReadClip | Skipped]]]:
        jobs = [
            functools.partial(read_rows, utterances[i : i + ROWS_PER_JOB], self._clip, source)
            for i in range(0, len(utterances), ROWS_PER_JOB)
        ]
        return jobs if self._pool is None else [self._pool.submit(job).result for job in jobs]


def _n_cores() -> int:
    """Cores that this process may use, all of them on macOS, which does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _end_with_parent() -> None:
    """Run in a worker: a killed parent cannot end its workers, which would wait for ever."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _collect(jobs: Sequence[Callable[[], list[ReadClip | Skipped]]]) -> list[ReadClip | Skipped]:
    try:
        return [result for job in jobs for result in job()]
    except BrokenProcessPool as error:
        raise RuntimeError(
            "a worker that reads audio died, perhaps for lack of memory; workers=0 reads without "
            "workers, and what is finished stays"
        ) from error


def _read_row(
    utterance: Utterance, clip: ClipSettings, source: SemanticSource | None
) -> ReadClip | Skipped:
    try:
        read = read_clip(utterance.audio, clip)
        stored = quantize_audio(read.audio)
        # Tokens and codes are made from the audio as it is stored.
        heard = Clip(restore_audio(stored), read.begin_s)
        semantic = source.tokens(utterance, heard, clip.sample_rate) if source else None
        return ReadClip(stored, read.begin_s, semantic)
    except (ValueError, OSError) as error:
        return Skipped(utterance.id, str(error))
