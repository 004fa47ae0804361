"""Checks of a stage's input: a ValueError names the argument, what came and what is allowed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bark_jax.config import TokenLayout
from bark_jax.sampling_config import Chain, Rows

# Formats of samples as integers, and the value that is silence.
PCM_ZERO = {
    np.dtype(np.int8): 0,
    np.dtype(np.uint8): 128,
    np.dtype(np.int16): 0,
    np.dtype(np.int32): 0,
}
MOST_AMPLITUDE = 10.0  # of samples whose full scale is 1: 20 dB above it
MOST_CHANNELS = 8  # of an array that may be audio as a file has it


def check_ids(name: str, value: Any, limit: int) -> np.ndarray:
    """Integers in [0, limit), at least one, as int32."""
    array = np.asarray(value)
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} has dtype {array.dtype}, want integers")
    if array.size == 0:
        raise ValueError(f"{name} is empty: its shape is {array.shape}")
    if array.min() < 0 or array.max() >= limit:
        raise ValueError(f"{name} has values {array.min()} … {array.max()}, want 0 … {limit - 1}")
    return array.astype(np.int32)


def check_semantic(value: Any, layout: TokenLayout) -> np.ndarray:
    """Semantic tokens (N,)."""
    array = check_ids("semantic", value, layout.semantic_vocab_size)
    if array.ndim != 1:
        raise ValueError(f"semantic has shape {array.shape}, want (N,)")
    return array


def check_codes(name: str, value: Any, layout: TokenLayout, least: int, most: int) -> np.ndarray:
    """Codes (q, T) of `least` to `most` codebooks."""
    array = check_ids(name, value, layout.codebook_size)
    if array.ndim != 2 or not least <= len(array) <= most:
        raise ValueError(f"{name} has shape {array.shape}, want ({least} … {most}, T)")
    return array


def check_equal_codebooks(name: str, rows: Sequence[np.ndarray]) -> None:
    """All rows of a batch must have equally many codebooks."""
    counts = sorted({len(row) for row in rows})
    if len(counts) > 1:
        listed = " and ".join(map(str, counts))
        raise ValueError(f"{name} rows have {listed} codebooks; want equally many in all rows")


def check_no_channels(name: str, value: Any) -> None:
    """Raises ValueError if samples lie as files with several channels are read, (S, channels)."""
    shape = np.shape(value) if isinstance(value, np.ndarray) else ()
    if len(shape) == 2 and 1 < shape[1] <= MOST_CHANNELS < shape[0]:
        raise ValueError(
            f"{name} has shape {shape}, as of {shape[1]} channels; want one, such as {name}.mean(1)"
        )


def check_audio(name: str, value: Any) -> np.ndarray:
    """Samples (S,) as float32; integers are rescaled from the full scale of their format to 1."""
    import jax.numpy as jnp  # the command line's checks need not wait for JAX; bfloat16 is a float

    array = np.asarray(value)
    if np.dtype(array.dtype) in PCM_ZERO:
        zero, one = PCM_ZERO[array.dtype], 1 << (8 * array.dtype.itemsize - 1)
        return (array.astype(np.float32) - np.float32(zero)) / np.float32(one)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        formats = ", ".join(map(str, PCM_ZERO))
        raise ValueError(f"{name} has dtype {array.dtype}, want floats or one of {formats}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds values that are not finite (NaN or infinity)")
    if array.size and (loudest := float(np.abs(array).max())) > MOST_AMPLITUDE:
        raise ValueError(
            f"{name} holds values up to {loudest:g}, want samples in -1 … 1 (at most "
            f"{MOST_AMPLITUDE:g}); divide by the full scale"
        )
    return array.astype(np.float32)


def check_coarse_context(
    max_history: int | None, window: int | None, layout: TokenLayout
) -> dict[str, int]:
    """Lengths of the coarse context, defaults filled in, as the coarse stage takes them."""
    max_history = layout.max_coarse_history if max_history is None else max_history
    window = layout.coarse_window if window is None else window
    low, high = layout.min_coarse_history, layout.max_coarse_history
    for name, value in (("max_history", max_history), ("window", window)):
        if not isinstance(value, int | np.integer):
            raise ValueError(f"{name}={value!r} is not a whole number")
    if not low <= max_history <= high:
        raise ValueError(f"max_history={max_history} is not in {low} … {high}")
    if window < 1 or max_history + window > layout.max_coarse_input:
        raise ValueError(
            f"window={window} is not in 1 … {layout.max_coarse_input - max_history} "
            f"(max_history + window <= {layout.max_coarse_input})"
        )
    return {"max_history": max_history, "window": window}


def check_processors(sampling: Mapping[str, Rows], layout: TokenLayout) -> None:
    """Values of the processors of all stages and rows, as far as they have a `check(n_ids)`.

    Args:
      sampling: by stage; chains or their plain data.
    """
    for stage, rows in sampling.items():
        n_ids = layout.codebook_size
        if stage == "semantic":
            n_ids = layout.semantic_vocab_size + 1  # the end token is the last
        for value in {id(value): value for value in rows["processors"]}.values():
            for processor in Chain.of(value).processors:
                try:
                    getattr(processor, "check", lambda n_ids: None)(n_ids)
                except ValueError as error:
                    raise ValueError(f"sampling.{stage}.processors: {error}") from error
