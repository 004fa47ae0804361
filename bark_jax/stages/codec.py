"""Codes to audio, and audio to codes."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.config import CodecConfig
from bark_jax.models import encodec
from bark_jax.params import Params
from bark_jax.runtime.compiling import jit
from bark_jax.runtime.execution import Execution
from bark_jax.runtime.sharding import fetch, groups_per_call

BUCKET = 64  # frames (0.85 s); one program is compiled per multiple of it


def decode_rows(
    params: Params, rows: Sequence[np.ndarray], *, cfg: CodecConfig, execution: Execution
) -> list[np.ndarray]:
    """Codes to audio: rows of different lengths, all padded to one bucketed length.

    Args:
      rows: integer codes (Q, T), the same Q and any T ≥ 1 for each.
    Returns:
      float32 audio (T · cfg.hop_length,) of each row.
    Raises:
      ValueError: a row has no frame, another Q than the first or more than there are codebooks, or
        a code outside [0, cfg.codebook_size).
    """
    if not rows:
        return []
    _check_codes(rows, cfg)
    codes_BQT, length_B = _batch(rows, BUCKET, np.int32)
    audio = [np.zeros(0, np.float32) for _ in rows]
    static = {"cfg": cfg, "execution": execution}
    for group in groups_per_call(range(len(rows)), execution.platform.parallel_rows):
        samples_BS = fetch(decode(params, codes_BQT[group], length_B[group], **static))
        for index, samples in zip(group, samples_BS, strict=True):
            audio[index] = samples[: length_B[index] * cfg.hop_length].copy()
    return audio


def encode_rows(
    params: Params,
    rows: Sequence[np.ndarray],
    *,
    cfg: CodecConfig,
    execution: Execution,
    n_codebooks: int,
) -> list[np.ndarray]:
    """Audio (S,) of different lengths, S ≥ 1, to codes, as one batch of a bucketed shape.

    Returns:
      int32 codes (n_codebooks, ceil(S / cfg.hop_length)) of each row.
    Raises:
      ValueError: a row is empty or has more than one axis, or there are too few codebooks.
    """
    if not rows:
        return []
    for i, row in enumerate(rows):
        if row.ndim != 1 or not row.size:
            raise ValueError(f"audio of row {i} has shape {row.shape}, want (S ≥ 1,)")
    _check_n_codebooks(n_codebooks, cfg)
    samples_BS, length_B = _batch(rows, BUCKET * cfg.hop_length, np.float32)
    arrays = jnp.asarray(samples_BS), jnp.asarray(length_B)
    static = {"cfg": cfg, "execution": execution}
    codes_BQT = encode(params, *arrays, **static, n_codebooks=n_codebooks)
    frames_B = -(-length_B // cfg.hop_length)
    return [row[:, :n].copy() for row, n in zip(fetch(codes_BQT), frames_B, strict=True)]


def _batch(
    rows: Sequence[np.ndarray], multiple: int, dtype: type[np.generic]
) -> tuple[np.ndarray, np.ndarray]:
    """Rows stacked, zero-padded to a multiple of `multiple` on the last axis; and their lengths."""
    length_B = np.array([row.shape[-1] for row in rows], np.int32)
    steps = -(-int(length_B.max()) // multiple) * multiple
    batch = np.zeros((len(rows), *rows[0].shape[:-1], steps), dtype)
    for i, row in enumerate(rows):
        batch[i, ..., : row.shape[-1]] = row
    return batch, length_B


def _check_codes(rows: Sequence[np.ndarray], cfg: CodecConfig) -> None:
    n_codebooks = rows[0].shape[0]
    _check_n_codebooks(n_codebooks, cfg)
    for i, row in enumerate(rows):
        if row.ndim != 2 or row.shape[0] != n_codebooks or row.shape[1] < 1:
            raise ValueError(
                f"codes of row {i} have shape {row.shape}, want ({n_codebooks}, T ≥ 1)"
            )
        if row.min() < 0 or row.max() >= cfg.codebook_size:
            raise ValueError(
                f"codes of row {i} run from {row.min()} to {row.max()}, want 0 … "
                f"{cfg.codebook_size - 1}"
            )


def _check_n_codebooks(n_codebooks: int, cfg: CodecConfig) -> None:
    if not 1 <= n_codebooks <= cfg.n_codebooks:
        raise ValueError(f"got {n_codebooks} codebooks, want 1 … {cfg.n_codebooks}")


# The codec always computes in float32: of an execution it uses only the compiler's options.


def _decode_fn(
    params: Params,
    codes_BQT: jax.Array,
    length_B: jax.Array | None = None,
    *,
    cfg: CodecConfig,
    execution: Execution,
) -> jax.Array:
    return encodec.decode(params, codes_BQT, length_B, cfg=cfg)


def _encode_fn(
    params: Params,
    samples_BS: jax.Array,
    length_B: jax.Array | None = None,
    *,
    cfg: CodecConfig,
    execution: Execution,
    n_codebooks: int,
) -> jax.Array:
    return encodec.encode(params, samples_BS, length_B, cfg=cfg, n_codebooks=n_codebooks)


decode = jit(_decode_fn, static_argnames=("cfg",))
encode = jit(_encode_fn, static_argnames=("cfg", "n_codebooks"))
