"""Metrics of the tokens of a generation: how many, how fast, how repetitive."""

from typing import Any

import numpy as np

from bark_jax.generation import Generation


def token_metrics(made: Generation) -> dict[str, Any]:
    """Counts, speed, repetition and finish reason of every stage.

    Speed is the row's tokens over the time that its batch spent in the stage, so the rows of a
    batch share one clock. A frame of several codebooks repeats if all of them do.
    """
    metrics: dict[str, Any] = {}
    stages = {"semantic": made.semantic[None], "coarse": made.coarse, "fine": made.fine}
    for stage, tokens_QT in stages.items():
        seconds = made.timings.get(stage)
        n_made = tokens_QT.size
        if stage == "fine":  # the coarse codebooks are given
            n_made -= made.coarse.size
        metrics |= {
            f"{stage}_tokens": n_made,
            f"{stage}_tokens_per_s": n_made / seconds if seconds else None,
            f"{stage}_repeat_share": repeat_share(tokens_QT),
            f"{stage}_longest_run": longest_run(tokens_QT),
        }
    return metrics | finish_reasons(made)


def repeat_share(tokens_QT: np.ndarray) -> float | None:
    """The share of all steps but the first that equal the step before."""
    is_repeat_T = _repeats(tokens_QT)
    return float(is_repeat_T.mean()) if is_repeat_T.size else None


def longest_run(tokens_QT: np.ndarray) -> int:
    """The length in steps of the longest run of equal tokens."""
    if not tokens_QT.shape[1]:
        return 0
    ends = np.flatnonzero(~_repeats(tokens_QT)) + 1
    edges = np.concatenate([[0], ends, [tokens_QT.shape[1]]])
    return int(np.diff(edges).max())


def finish_reasons(made: Generation) -> dict[str, str]:
    """Why each stage stopped. After the semantic stage, lengths follow from the input."""
    rest = "input_done" if made.semantic.size else "no_input"
    return {"semantic_finish": made.finish_reason, "coarse_finish": rest, "fine_finish": rest}


def _repeats(tokens_QT: np.ndarray) -> np.ndarray:
    return (tokens_QT[:, 1:] == tokens_QT[:, :-1]).all(axis=0)
