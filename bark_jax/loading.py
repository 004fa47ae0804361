"""From a name to a model: decides how it computes and where its parameters go."""

import functools
from collections.abc import Mapping

import jax
from jax.sharding import Mesh

from bark_jax import checkpoint
from bark_jax.config import STAGES, weights_by_stage
from bark_jax.kernels.native import why_missing
from bark_jax.runtime.execution import DTypes, Execution
from bark_jax.runtime.forks import check_not_forked
from bark_jax.runtime.notices import warn
from bark_jax.runtime.placement import StageParams
from bark_jax.runtime.sharding import checked_mesh, sharding_of
from bark_jax.sources.description import Description, Source, describe
from bark_jax.sources.voice_library import VoiceLibrary
from bark_jax.stages.runner import StageRunner


def load(
    source: Source | Mapping[str, Source] | Description,
    *,
    dtype: str | DTypes | None,
    weights: str | Mapping[str, str] | None,
    revision: str | None,
    local_files_only: bool,
    mesh: Mesh | None,
    offload: bool,
    check_hashes: bool,
) -> tuple[StageRunner, VoiceLibrary]:
    """See `Bark.from_pretrained`. Parameters are read when their stage first runs."""
    check_not_forked()
    model = source
    if not isinstance(model, Description):
        model = describe(model, revision=revision, local_files_only=local_files_only)
    if mesh is not None:
        mesh = checked_mesh(mesh)
    execution = Execution.here(dtype, mesh)
    stored = model.stored_weights
    formats = stored | weights_by_stage(weights)
    _check_same(stored, formats)
    _say_without_kernels(formats, execution)
    place = None if mesh is None else functools.partial(sharding_of, mesh)

    def params_of(stage: str) -> StageParams:
        # The codec costs little, and rounding in it is audible.
        dtype = "float32" if stage == "codec" else execution.dtypes.params
        read = functools.partial(
            checkpoint.load_stage,
            model.folders[stage],
            stage,
            dtype,
            place,
            check_hashes,
            may_be_int8=stored.get(stage) == "int8",
            weights=formats.get(stage),
        )
        return StageParams(read, offload)

    params = {stage: params_of(stage) for stage in STAGES}
    made_by = {
        **model.origin,
        "dtype": execution.dtypes.params,
        **({"weights": formats} if formats else {}),
        "platform": execution.platform.name,
        "jax": jax.__version__,
    }
    runner = StageRunner(
        model.config,
        params,
        model.tokenizer,
        execution,
        mesh,
        formats,
        made_by,
        model.phones,
        sampling=model.sampling,
    )
    return runner, model.voices


def _say_without_kernels(formats: Mapping[str, str], execution: Execution) -> None:
    """Warns where fewer bytes will not be faster."""
    if formats and execution.platform.name == "cpu" and (why := why_missing()):
        warn(f"weights={dict(formats)} saves memory here, but no time: {why}")


def _check_same(stored: Mapping[str, str], formats: Mapping[str, str]) -> None:
    for stage, format in stored.items():
        if formats[stage] != format:
            raise ValueError(
                f"weights of the {stage} stage: {formats[stage]!r}, but the model has them in "
                f"{format!r}"
            )
