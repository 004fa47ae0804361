"""The task of each stage, by name."""

import dataclasses
from typing import Any

from bark_jax.config import STAGES, BarkConfig, from_dict
from bark_jax.training.tasks.coarse import CoarseTask
from bark_jax.training.tasks.codec import CodecTask
from bark_jax.training.tasks.fine import FineTask
from bark_jax.training.tasks.semantic import SemanticTask
from bark_jax.training.tasks.task import Task

TASKS = {"semantic": SemanticTask, "coarse": CoarseTask, "fine": FineTask, "codec": CodecTask}


def make_task(stage: str, cfg: BarkConfig, **options: Any) -> Task:
    """The training of one stage.

    Args:
      options: fields of the stage's task, such as `execution` or `history_share`.
    Raises:
      ValueError: there is no such stage or option, or an option's value is not allowed.
    """
    if stage not in TASKS:
        raise ValueError(f"stage={stage!r} is not one of {STAGES}")
    make = TASKS[stage]
    known = {field.name for field in dataclasses.fields(make)} - {"cfg"}
    if unknown := options.keys() - known:
        raise ValueError(f"stage {stage!r} has no option {sorted(unknown)}; it has {sorted(known)}")
    try:
        return from_dict(make, {"cfg": cfg, **options})
    except TypeError as error:  # of a group of options, such as the codec's spectral ones
        raise ValueError(f"task: {error}") from error
