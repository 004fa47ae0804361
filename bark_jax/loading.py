"""From a name to a model: finds the directories, reads the configs, decides where parameters go."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from bark_jax import checkpoint
from bark_jax.config import STAGES, BarkConfig
from bark_jax.runtime.execution import DTypes, Execution
from bark_jax.runtime.forks import check_not_forked
from bark_jax.runtime.placement import StageParams
from bark_jax.runtime.sharding import checked_mesh, sharding_of
from bark_jax.sources.resolve import resolve_model
from bark_jax.sources.voice_library import VoiceLibrary
from bark_jax.stages.runner import StageRunner
from bark_jax.text import Tokenizer

Source = str | Path


def load(
    source: Source | Mapping[str, Source],
    *,
    dtype: str | DTypes | None,
    revision: str | None,
    local_files_only: bool,
    mesh: Mesh | None,
    offload: bool,
) -> tuple[StageRunner, VoiceLibrary]:
    """See `Bark.from_pretrained`. Parameters are read when their stage first runs."""
    check_not_forked()
    folders = _stage_folders(source, revision=revision, local_files_only=local_files_only)
    if mesh is not None:
        mesh = checked_mesh(mesh)
    execution = Execution.here(dtype, mesh)
    place = None if mesh is None else functools.partial(sharding_of, mesh)

    def params_of(stage: str) -> StageParams:
        # The codec costs little, and rounding in it is audible.
        stored = "float32" if stage == "codec" else execution.dtypes.params
        read = functools.partial(checkpoint.load_stage, folders[stage], stage, stored, place)
        return StageParams(read, offload)

    config = _merge_configs({s: checkpoint.load_config(f) for s, f in folders.items()})
    home = folders["semantic"]
    origin = checkpoint.load_source(home)
    tokenizer = Tokenizer.from_directory(home / "tokenizer")
    params = {stage: params_of(stage) for stage in STAGES}
    voices = VoiceLibrary(
        [home / "voices"],
        config.tokens,
        hub_repo=origin.get("voices_repo"),
        revision=origin.get("voices_revision"),
        local_files_only=local_files_only,
    )
    return StageRunner(config, params, tokenizer, execution, mesh), voices


def _stage_folders(source: Source | Mapping[str, Source], **options: Any) -> dict[str, Path]:
    """The model directory that each stage comes from."""
    by_stage = dict(source) if isinstance(source, Mapping) else {"semantic": source}
    if unknown := by_stage.keys() - set(STAGES):
        raise ValueError(f"source has unknown stages {sorted(unknown)}; want {STAGES}")
    if "semantic" not in by_stage:
        raise ValueError(f"source has no 'semantic' stage; it has {sorted(by_stage)}")
    resolved = {each: resolve_model(each, **options) for each in dict.fromkeys(by_stage.values())}
    return {stage: resolved[by_stage.get(stage, by_stage["semantic"])] for stage in STAGES}


def _merge_configs(by_stage: Mapping[str, BarkConfig]) -> BarkConfig:
    """One config from the configs of the directories that the stages come from."""
    tokens = by_stage["semantic"].tokens
    for stage, config in by_stage.items():
        if config.tokens != tokens:
            raise ValueError(f"the {stage} stage has another token layout than the semantic one")
    return dataclasses.replace(
        by_stage["semantic"], **{stage: getattr(by_stage[stage], stage) for stage in STAGES}
    )
