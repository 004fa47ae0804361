"""From a run to a model directory: the trained stage, and all else from the initial model."""

import contextlib
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bark_jax import __version__
from bark_jax.checkpoint import (
    SAMPLING_FILE,
    load_config,
    load_source,
    save_config,
    save_stage,
)
from bark_jax.config import STAGES
from bark_jax.model_card import CARD_FILE, write_card
from bark_jax.params import Params
from bark_jax.runtime.directories import place_beside, replacing_directory
from bark_jax.training.run.mesh import wait_for_all


def export_model(
    init: Path, out: Path, stage: str, params: Params, trained: dict[str, Any]
) -> None:
    """Writes `out` completely or not at all; it replaces an earlier export.

    Several processes call this together; the first one writes.

    Args:
      init: the model that the run started from.
      params: of `stage`, float32.
      trained: what `config.json` is to say about the run.
    Raises:
      OSError: it cannot be written; an earlier export stays.
    """
    is_first = jax.process_index() == 0
    with (
        replacing_directory(out) if is_first else contextlib.nullcontext(place_beside(out)) as made
    ):
        if is_first:
            _copy_rest(init, made, stage)
        wait_for_all("export begun")
        save_stage(made, stage, jax.tree.map(np.asarray, params))
        if is_first:
            config, source = load_config(init), _source(init, stage, trained)
            write_card(made, config, source)
            save_config(made, config, source)
    wait_for_all("export done")


def _copy_rest(init: Path, made: Path, stage: str) -> None:
    for part in (*STAGES, "tokenizer", "voices"):
        if part != stage and (init / part).is_dir():
            shutil.copytree(init / part, made / part)
    for name in (CARD_FILE, SAMPLING_FILE):
        if (init / name).is_file():
            shutil.copy(init / name, made / name)


def _source(init: Path, stage: str, trained: dict[str, Any]) -> dict[str, Any]:
    """What `config.json` says about the origin: that of `init`, and this run."""
    source = load_source(init)
    untrained = [s for s in source.get("untrained_stages", []) if s != stage]
    history = [*source.get("trained", []), {**trained, "bark_jax": __version__}]
    return source | {
        "untrained_stages": untrained,
        "untrained": bool(untrained),
        "trained": history,
    }
