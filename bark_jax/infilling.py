"""A part of a generation made again: from a span in seconds to the tokens that are kept."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bark_jax.config import TokenLayout
from bark_jax.generation import Generation
from bark_jax.guidance import recorded_guidance
from bark_jax.numbers import check_allowed, is_finite, plain
from bark_jax.processors import Force
from bark_jax.processors.context import NO_ID
from bark_jax.sampling_config import Chain, SamplingConfig, of_record, rows_of
from bark_jax.scoring.score import rows_of_generations

SECONDS = ("a number >= 0", lambda v: is_finite(v) and v >= 0)


def infilling(
    made: Sequence[Generation],
    start_s: Any,
    end_s: Any,
    layout: TokenLayout,
    *,
    text: Any,
    voice: Any,
    seed: Any,
    edits: Any,
) -> dict[str, Any]:
    """Arguments of `Bark.generate` that draw the tokens of a span and force all others.

    Raises:
      ValueError: see `Bark.infill`.
    """
    arguments, _ = rows_of_generations(made, voice)
    if text is not None:
        arguments["text"] = rows_of("text", text, len(made))
    seeds = [(row.seed + 1) % 2**64 for row in made]
    arguments["seed"] = seeds if seed is None else rows_of("seed", plain(seed), len(made))
    starts = rows_of("start_s", plain(start_s), len(made))
    ends = rows_of("end_s", plain(end_s), len(made))
    arguments["edits"] = _edits(made, edits)
    arguments["guidance"] = [recorded_guidance(row.settings) for row in made]
    arguments["sampling"] = SamplingConfig.of_rows(
        [_sampling(*row, layout) for row in zip(made, starts, ends, strict=True)]
    )
    return arguments


def _edits(made: Sequence[Generation], edits: Any) -> Any:
    """Those of a row have to be given again, for a generation keeps but their kinds."""
    own = edits if isinstance(edits, list | tuple) else [edits] * len(made)
    for row, given in zip(made, own, strict=False):  # `generate` compares their numbers
        if given is None and "edits" in row.settings:
            raise ValueError(
                "edits=None, but the generation was made with edits of "
                f"{', '.join(row.settings['edits'])}: want those, or {{}} for none"
            )
    return edits


def _sampling(made: Generation, start_s: Any, end_s: Any, layout: TokenLayout) -> dict[str, Any]:
    """The values that the row was made with, and what it must keep."""
    check_allowed("start_s", start_s, SECONDS)
    check_allowed("end_s", end_s, SECONDS)
    if not start_s < min(end_s, made.duration_s):
        raise ValueError(
            f"start_s={start_s} is not before end_s={end_s} and the end at {made.duration_s:.2f} s"
        )
    frames = _span(start_s, end_s, float(layout.coarse_rate_hz))
    semantic = made.semantic.copy()
    semantic[_span(start_s, end_s, float(layout.semantic_rate_hz))] = NO_ID
    if not made.finish_reason.startswith("max_"):
        semantic = np.append(semantic, layout.semantic_pad_token)
    coarse, fine = made.coarse.copy(), made.fine.copy()
    coarse[:, frames] = NO_ID
    fine[:, frames] = NO_ID
    kept = {"semantic": semantic, "coarse": coarse, "fine": fine}
    return {
        stage: {**values, "processors": _chain(values["processors"], kept[stage])}
        for stage, values in of_record(made.settings["sampling"]).items()
    }


def _chain(recorded: Any, ids: np.ndarray) -> Chain:
    others = [p for p in Chain.of(recorded).processors if not isinstance(p, Force)]
    return Chain((*others, Force(ids.tolist())))


def _span(start_s: float, end_s: float, rate_hz: float) -> slice:
    """All tokens of which a part lies in the span; rounded, as 0.28 s are 21 frames exactly."""
    return slice(math.floor(round(start_s * rate_hz, 6)), math.ceil(round(end_s * rate_hz, 6)))
