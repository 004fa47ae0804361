"""Stages of a user's own in place of Bark's: arrays in, arrays out."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from bark_jax.batching import Batch
from bark_jax.config import STAGES, TRANSFORMERS, TokenLayout
from bark_jax.numbers import shown
from bark_jax.runtime import named
from bark_jax.sampling_config import plain
from bark_jax.stages.semantic import SemanticResult
from bark_jax.voices import Voice


@dataclasses.dataclass(frozen=True, eq=False)
class StageRow:
    """What a stage may want to know of a row, besides its input.

    Attributes:
      text: what is said; None where a stage is called by itself.
      voice: that the row continues, if any.
      seed: of the row.
      sampling: values of this stage, by name.
    """

    text: str | None
    voice: Voice | None
    seed: int
    sampling: Mapping[str, Any]


class OwnStage(Protocol):
    """Makes what a stage makes, for a batch of rows at a time.

    `inputs` has one entry per row: of the semantic stage a text, of the coarse one semantic tokens
    (N,), of the fine one coarse codes (2, T). The result has one entry per row, in the same order:
    semantic tokens (N,), codes (2, T), codes (8, T). N and T may be 0.

    In place of the codec an object is given codes (8, T) alone, without `rows`, and gives samples
    (S,) at the model's rate.
    """

    def __call__(
        self, inputs: Sequence[Any], rows: Sequence[StageRow], /
    ) -> Sequence[np.ndarray]: ...


OwnCodec = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]


def checked_stages(stages: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are given; ValueError if one cannot be called."""
    given = {name: stage for name, stage in stages.items() if stage is not None}
    for name, stage in given.items():
        if name not in STAGES or not callable(stage):
            raise ValueError(f"{name}={shown(stage)} cannot be called; want a stage, see OwnStage")
    return given


def check_no_hooks(batch: Batch, own: Mapping[str, Any]) -> None:
    """Raises ValueError where edits or traces are meant for a stage that is a user's own."""
    for stage in TRANSFORMERS:
        if stage in own and batch.hooks(stage):
            raise ValueError(
                f"edits and trace are for Bark's own {stage} stage, which is replaced here"
            )


def named_stages(names: Sequence[str]) -> dict[str, Any]:
    """Stages from texts such as "coarse=module:Class", each made without arguments.

    Raises:
      ValueError: one of them is not to be had.
    """
    made: dict[str, Any] = {}
    for name in names:
        stage, _, path = name.partition("=")
        want = "STAGE=module:Class, with a class that is made without arguments"
        make = named.find(f"stage {stage}", path, want)
        try:
            made[stage] = make()
        except (TypeError, ValueError) as error:
            raise ValueError(f"stage {name!r} cannot be made: {error}; want {want}") from error
    return made


def run_semantic(stage: OwnStage, batch: Batch, layout: TokenLayout) -> list[SemanticResult]:
    """Texts to semantic tokens."""
    shape = (None,)
    made = _run("semantic", stage, batch.texts, batch, shape, layout.semantic_vocab_size)
    return [SemanticResult(row, "eos") for row in made]


def run_coarse(
    stage: OwnStage, semantic: Sequence[np.ndarray], batch: Batch, layout: TokenLayout
) -> list[np.ndarray]:
    """Semantic tokens to coarse codes."""
    shape = (layout.n_coarse_codebooks, None)
    return _run("coarse", stage, semantic, batch, shape, layout.codebook_size)


def run_fine(
    stage: OwnStage, coarse: Sequence[np.ndarray], batch: Batch, layout: TokenLayout
) -> list[np.ndarray]:
    """Coarse codes to all codes."""
    shape = (layout.n_fine_codebooks, None)
    made = _run("fine", stage, coarse, batch, shape, layout.codebook_size)
    for row, (given, codes) in enumerate(zip(coarse, made, strict=True)):
        if codes.shape[1] != given.shape[1]:
            raise ValueError(
                f"the stage in place of fine gave {codes.shape[1]} frames for row {row}, want "
                f"{given.shape[1]}"
            )
    return made


def run_codec(stage: OwnCodec, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Codes to audio."""
    made = _rows("codec", stage(codes), len(codes))
    for row, samples in enumerate(made):
        if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
            raise ValueError(
                f"the stage in place of codec gave {samples.dtype} of shape {samples.shape} for "
                f"row {row}, want floats (S,)"
            )
    return [samples.astype(np.float32) for samples in made]


def _run(
    name: str,
    stage: OwnStage,
    inputs: Sequence[Any],
    batch: Batch,
    shape: tuple[int | None, ...],
    limit: int,
) -> list[np.ndarray]:
    sampling = batch.sampling[name]
    rows = [
        StageRow(
            batch.texts[i],
            batch.voices[i],
            batch.seeds[i],
            {field: plain(values[i]) for field, values in sampling.items()},
        )
        for i in range(batch.n_rows)
    ]
    made = _rows(name, stage(inputs, rows), len(inputs))
    for row, array in enumerate(made):
        fits = array.ndim == len(shape) and shape[:-1] == array.shape[:-1]
        is_whole = np.issubdtype(array.dtype, np.integer) or not array.size
        is_inside = not array.size or (array.min() >= 0 and array.max() < limit)
        if not (fits and is_whole and is_inside):
            axes = "(N,)" if len(shape) == 1 else f"({shape[0]}, T)"
            raise ValueError(
                f"the stage in place of {name} gave {array.dtype} of shape {array.shape} for row "
                f"{row}, want integers {axes} in 0 … {limit - 1}"
            )
    return [array.astype(np.int32) for array in made]


def _rows(name: str, made: Any, n_rows: int) -> list[np.ndarray]:
    rows = [np.asarray(row) for row in made]
    if len(rows) != n_rows:
        raise ValueError(f"the stage in place of {name} gave {len(rows)} rows, want {n_rows}")
    return rows
