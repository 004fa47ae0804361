"""A model directory with the transformers' matrices in fewer bytes, once and for all."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from bark_jax import checkpoint
from bark_jax.config import STAGES, weights_by_stage
from bark_jax.conversion.directory import complete_directory
from bark_jax.runtime.progress import tqdm_bar


def quantize_model(
    model: str | Path,
    out: str | Path,
    *,
    weights: str | Mapping[str, str] = "int8",
    progress: bool = True,
    overwrite: bool = False,
) -> None:
    """Writes what `Bark.from_pretrained(model, weights=weights)` has in memory.

    Loading it reads fewer bytes and takes less memory than quantising the model at every start.

    Args:
      model: a model directory of ours.
      weights: as in `Bark.from_pretrained`.
      progress: show a bar on stderr if that is a terminal.
      overwrite: replace `out` if it is a model.
    Raises:
      FileNotFoundError: `model` is not a model.
      FileExistsError: `out` exists, or is not a model.
      ValueError: an unknown format of weights, or the model has such weights already.
      OSError: the disk is full; nothing is left behind.
    """
    model, out, formats = Path(model), Path(out), weights_by_stage(weights)
    config, source = checkpoint.load_config(model), checkpoint.load_source(model)
    stages = [stage for stage in STAGES if (model / stage).is_dir()]
    with (
        complete_directory(
            out, source=model, overwrite=overwrite, is_ours=checkpoint.is_model
        ) as made,
        tqdm_bar(total=len(stages), disable=None if progress else True) as bar,
    ):
        shutil.copytree(
            model,
            made,
            dirs_exist_ok=True,
            ignore=lambda folder, names: [*stages] if Path(folder) == model else [],
        )
        for stage in stages:
            bar.set_description(stage)
            params = checkpoint.load_stage(model, stage, weights=formats.get(stage))
            checkpoint.save_stage(made, stage, params)
            bar.update()
        checkpoint.save_config(made, config, {**source, "weights": formats})
