"""From a run to a model directory: the trained stage, and all else as in the model begun with."""

import shutil
from pathlib import Path
from typing import Any

from bark_jax import __version__
from bark_jax.checkpoint import load_config, load_source, save_config, save_stage
from bark_jax.config import STAGES
from bark_jax.models.binding import Params


def export_model(
    init: Path, out: Path, stage: str, params: Params, trained: dict[str, Any]
) -> None:
    """Writes `out`, in place of an earlier one, complete or not at all.

    Args:
      init: the model that the run began with.
      params: of `stage`, float32.
      trained: what to say of the run in `config.json`.
    Raises:
      OSError: it cannot be written; the earlier one is left.
    """
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        for part in (*STAGES, "tokenizer", "voices"):
            if part != stage and (init / part).is_dir():
                shutil.copytree(init / part, partial / part)
        save_stage(partial, stage, params)
        source = load_source(init)
        untrained = [s for s in source.get("untrained_stages", []) if s != stage]
        source |= {"untrained_stages": untrained, "untrained": bool(untrained)}
        history = [*source.get("trained", []), {**trained, "bark_jax": __version__}]
        save_config(partial, load_config(init), {**source, "trained": history})
        shutil.rmtree(out, ignore_errors=True)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
