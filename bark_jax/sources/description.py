"""What a model says of itself without its arrays, and without JAX: quick to read and to check."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bark_jax.checkpoint import identify, load_config, load_sampling, load_source
from bark_jax.config import STAGES, TRANSFORMERS, BarkConfig
from bark_jax.sampling_config import BARK, SamplingConfig
from bark_jax.sources.resolve import OWN_NAMES, resolve_model
from bark_jax.sources.voice_library import VoiceLibrary
from bark_jax.text import Tokenizer

Source = str | Path


@dataclasses.dataclass(frozen=True)
class Description:
    """Where a model's stages are, its sizes, its tokenizer and its voices."""

    source: Source | Mapping[str, Source]  # as it was named
    revision: str | None
    folders: Mapping[str, Path]  # stage -> model directory
    local_files_only: bool  # voices are never looked for on the hub

    @functools.cached_property
    def config(self) -> BarkConfig:
        """Sizes and token layout; ValueError if the stages do not fit together."""
        return _merge_configs({stage: load_config(at) for stage, at in self.folders.items()})

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the semantic stage."""
        return Tokenizer.from_directory(self.folders["semantic"] / "tokenizer")

    @functools.cached_property
    def voices(self) -> VoiceLibrary:
        """The voices of the semantic stage's model."""
        home = self.folders["semantic"]
        origin = load_source(home)
        return VoiceLibrary(
            [home / "voices"],
            self.config.tokens,
            hub_repo=origin.get("voices_repo"),
            revision=origin.get("voices_revision"),
            local_files_only=self.local_files_only,
        )

    @functools.cached_property
    def own_sampling(self) -> SamplingConfig:
        """The values that the stages' models bring along; ValueError if some are not allowed."""
        own = {s: getattr(load_sampling(self.folders[s]), s) for s in TRANSFORMERS}
        return SamplingConfig(**own)

    @property
    def sampling(self) -> SamplingConfig:
        """What is drawn with where nobody says otherwise, every value: its own, or else Bark's."""
        return self.own_sampling.over(BARK)

    @property
    def stored_weights(self) -> dict[str, str]:
        """Formats of the stages whose directories hold weights in one of their own."""
        named = {stage: load_source(self.folders[stage]) for stage in TRANSFORMERS}
        return {
            stage: source["weights"][stage]
            for stage, source in named.items()
            if stage in source.get("weights", {})
        }

    @property
    def phones(self) -> tuple[str, ...]:
        """What the semantic tokens are thirds of; () if they are no phones' states."""
        return tuple(load_source(self.folders["semantic"]).get("phones", ()))

    @property
    def origin(self) -> dict[str, Any]:
        """Which model it is, for the record of what it makes: plain data."""
        return {
            "model": _named(self.source),
            "revision": self.revision,
            "sha256": {stage: identify(at, stage) for stage, at in self.folders.items()},
        }

    @property
    def is_untrained(self) -> bool:
        """Whether a stage can only give noise."""
        return any(load_source(at).get("untrained") for at in set(self.folders.values()))


def describe(
    source: Source | Mapping[str, Source],
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    progress: bool = True,
) -> Description:
    """Finds a model, downloading and converting it if need be; see `Bark.from_pretrained`."""
    options = {"revision": revision, "local_files_only": local_files_only, "progress": progress}
    return Description(source, revision, _stage_folders(source, **options), local_files_only)


def _named(source: Source | Mapping[str, Source]) -> Any:
    """A source for the record: directories by their whole path, unless a model has their name."""
    if isinstance(source, Mapping):
        return {stage: _named(each) for stage, each in source.items()}
    if source in OWN_NAMES:
        return source
    path = Path(source).expanduser()
    return str(path.resolve()) if path.is_dir() else str(source)


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
