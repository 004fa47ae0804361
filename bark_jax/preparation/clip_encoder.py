"""Clips to codes, in batches of few different shapes."""

from collections.abc import Iterator, Sequence

import numpy as np

from bark_jax.pipeline import Bark
from bark_jax.stages.codec import BUCKET


def plan_batches(lengths: Sequence[int], bucket: int, most: int) -> list[list[int]]:
    """Which rows to encode together: the longest first, rows of similar length side by side.

    A batch has as many rows as fit into `most` samples when each is padded to the longest one's
    whole buckets, so that each number of buckets is compiled once.

    Args:
      lengths: samples of each row.
      bucket: samples that lengths are rounded up to.
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    batches = []
    while order:
        n_rows = batch_rows(lengths[order[0]], bucket, most)
        batches.append(order[:n_rows])
        del order[:n_rows]
    return batches


def batch_rows(longest: int, bucket: int, most: int) -> int:
    """Rows of a batch whose longest row has `longest` samples."""
    return max(1, most // (-(-longest // bucket) * bucket))


def encode_clips(
    bark: Bark, clips: Sequence[np.ndarray], batch_s: float
) -> Iterator[tuple[list[int], list[np.ndarray]]]:
    """Yields rows and their codes (Q, T), batch after batch, in the order of `plan_batches`."""
    bucket = BUCKET * bark.config.codec.hop_length
    most = round(batch_s * bark.sample_rate)
    lengths = [len(clip) for clip in clips]
    for rows in plan_batches(lengths, bucket, most):
        # A last, smaller batch is filled up with its first row: no new shape compiles.
        filled = rows + [rows[0]] * (batch_rows(lengths[rows[0]], bucket, most) - len(rows))
        codes = bark.encode([clips[row] for row in filled])
        yield rows, list(codes[: len(rows)])
