"""Codes to audio, and audio to codes."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.config import CodecConfig
from bark_jax.models import encodec
from bark_jax.models.encodec import ChunkState
from bark_jax.params import Params
from bark_jax.runtime.compiling import jit
from bark_jax.runtime.execution import Execution
from bark_jax.runtime.sharding import fetch, groups_per_call

BUCKET = 64  # frames (0.85 s); encoding compiles one program per multiple of it
CHUNK = 64  # frames that are decoded at a time: one program for audio of any length


def decode_rows(
    params: Params, rows: Sequence[np.ndarray], *, cfg: CodecConfig, execution: Execution
) -> list[np.ndarray]:
    """Codes to audio, chunk by chunk: rows of different lengths, padded to whole chunks.

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
    audio = [np.zeros(0, np.float32) for _ in rows]
    for group in groups_per_call(range(len(rows)), execution.platform.parallel_rows):
        codes_BQT, length_B = _batch([rows[index] for index in group], 1, np.int32)
        stream = DecodeStream(cfg, execution, len(group))
        samples_BS = stream.decode(params, codes_BQT, length_B, is_end=True)
        for index, samples, length in zip(group, samples_BS, length_B, strict=True):
            audio[index] = samples[: length * cfg.hop_length].copy()
    return audio


class DecodeStream:
    """Audio of rows whose codes come bit by bit.

    Chunks have equal bounds and one program however the codes come, so that the samples are the
    same as if all of them came at once, bit by bit: XLA may group sums otherwise in a program of
    another shape.
    """

    def __init__(
        self, cfg: CodecConfig, execution: Execution, n_rows: int = 1, chunk: int = CHUNK
    ) -> None:
        """`chunk` frames are decoded at a time, but at least a kernel's width."""
        self._cfg, self._execution = cfg, execution
        self._chunk = max(chunk, cfg.kernel_size)
        self._state = first_state(cfg=cfg, execution=execution, n_rows=n_rows)
        self._waiting: np.ndarray | None = None  # codes that wait for the rest of their chunk

    def decode(
        self,
        params: Params,
        codes_BQT: np.ndarray,
        length_B: np.ndarray | None = None,
        *,
        is_end: bool,
    ) -> np.ndarray:
        """The samples (B, S) of all whole chunks; with `is_end`, of the rest as well.

        Args:
          codes_BQT: the next frames, T ≥ 0; another Q only where nothing waits.
          length_B: frames of each row that count, if they are not all; only with `is_end`.
        """
        n_waiting = 0
        if self._waiting is not None:
            n_waiting = self._waiting.shape[2]
            codes_BQT = np.concatenate([self._waiting, codes_BQT], axis=2)
        T = codes_BQT.shape[2]
        ends_B = np.full(len(codes_BQT), T) if length_B is None else n_waiting + length_B
        chunk = self._chunk
        n_chunks = -(-T // chunk) if is_end else T // chunk
        rest_BQT = codes_BQT[:, :, n_chunks * chunk :]
        self._waiting = rest_BQT if rest_BQT.size else None
        parts: list[jax.Array] = []
        for begin in range(0, n_chunks * chunk, chunk):
            part_BQT = codes_BQT[:, :, begin : begin + chunk]
            part_BQT = np.pad(part_BQT, ((0, 0), (0, 0), (0, chunk - part_BQT.shape[2])))
            inside_B = np.clip(ends_B - begin, 0, chunk).astype(np.int32)
            samples_BS, self._state = decode_chunk(
                params, part_BQT, inside_B, self._state, cfg=self._cfg, execution=self._execution
            )
            parts.append(samples_BS)
        # fetched only now, so that a device need not wait for the host between two chunks
        none_BS = np.zeros((len(codes_BQT), 0), np.float32)
        samples_BS = np.concatenate([none_BS, *map(fetch, parts)], axis=1)
        return samples_BS[:, : T * self._cfg.hop_length]


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


def _decode_chunk_fn(
    params: Params,
    codes_BQT: jax.Array,
    length_B: jax.Array,
    state: ChunkState,
    *,
    cfg: CodecConfig,
    execution: Execution,
) -> tuple[jax.Array, ChunkState]:
    return encodec.decode_chunk(params, codes_BQT, length_B, state, cfg=cfg)


def _first_state_fn(*, cfg: CodecConfig, execution: Execution, n_rows: int) -> ChunkState:
    """A program, though it only has constants: one that is kept is there at once."""
    return jax.tree.map(jnp.asarray, encodec.first_state(cfg, n_rows))


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


first_state = jit(_first_state_fn, static_argnames=("cfg", "n_rows"))
decode_chunk = jit(_decode_chunk_fn, static_argnames=("cfg",))
encode = jit(_encode_fn, static_argnames=("cfg", "n_codebooks"))
