"""An audio file made again, from what it says of how it was made."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bark_jax import __version__
from bark_jax.audio_files import FORMATS, read_metadata
from bark_jax.guidance import recorded_guidance
from bark_jax.long.script import document_of
from bark_jax.pipeline import Bark
from bark_jax.sampling_config import of_record
from bark_jax.voices import UNNAMED

Load = Callable[[Any, str | None, str | None, Any], Bark]  # (model, revision, dtype, weights)


@dataclasses.dataclass(frozen=True)
class Repetition:
    """What came of it."""

    differences: list[str]  # of model, version and platform from those of the file, in words
    is_equal: bool | None  # whether the samples are the same; None: the formats differ
    duration_s: float


def repeat(
    path: Path,
    out: Path,
    load: Load,
    *,
    model: Any = None,
    voice: Any = None,
    progress: bool = False,
) -> Repetition:
    """Writes `out` as `path` was made: a single text, a line of a batch, a point, or a long text.

    Args:
      load: gives the model that the file names, or `model`.
      voice: in place of the file's, which may have been an object without a name.
    Raises:
      OSError: a file is missing or cannot be written.
      ValueError: `path` does not say how it was made, or its voice is not to be had.
    """
    metadata = read_metadata(path)
    made_by = metadata.get("made_by", {})
    if "edits" in metadata:
        raise ValueError(f"{path} was made with edits inside the model, which no file keeps")
    named = model or made_by.get("model")
    if named is None:
        raise ValueError(f"{path} does not name its model: give it with --model")
    formats = (made_by.get(name) for name in ("revision", "dtype", "weights"))
    bark = load(named, *formats)
    voice = voice or _voice_of(metadata["voice"], path)
    sampling = of_record(metadata["sampling"])
    options = {"voice": voice, "seed": metadata["seed"], "sampling": sampling}
    bits = _bits_of(path) if path.suffix.lower() == out.suffix.lower() else None
    if "settings" in metadata:
        made = bark.generate_long(
            document_of(metadata),
            voices={name: _voice_of(own, path) for name, own in metadata["voices"].items()},
            settings=metadata["settings"],
            path=out,
            bits=bits,
            batch_rows=metadata.get("batch_rows"),
            progress=progress,
            **options,
        )
    else:
        try:
            guidance = recorded_guidance(metadata)
        except ValueError as error:
            raise ValueError(f"{path} cannot be repeated: {error}") from error
        made = bark.generate(metadata["text"], guidance=guidance, progress=progress, **options)
        made.save(out, bits=bits)
    return Repetition(differences(metadata, bark), _are_equal(path, out), made.duration_s)


def differences(metadata: Mapping[str, Any], bark: Bark) -> list[str]:
    """What may make the samples differ: "jax is 0.10.2, was 0.10.1" …"""
    was = {"bark_jax": metadata.get("bark_jax"), **_flat(metadata.get("made_by", {}))}
    now = {"bark_jax": __version__, **_flat(bark.runner.origin)}
    return [
        f"{name} is {now.get(name)}, was {was.get(name)}"
        for name in dict.fromkeys([*was, *now])
        if was.get(name) != now.get(name) and not name.startswith("model")
    ]


def _flat(made_by: Mapping[str, Any]) -> dict[str, Any]:
    """With names such as "sha256 of semantic" for what is kept by stage."""
    flat: dict[str, Any] = {}
    for name, value in made_by.items():
        if isinstance(value, Mapping):
            flat |= {f"{name} of {stage}": each for stage, each in value.items()}
        else:
            flat[name] = value
    return flat


def _voice_of(name: str | None, path: Path) -> str | None:
    if name in UNNAMED:
        raise ValueError(f"{path} was made with a voice that has no name: give it with --voice")
    return name


def _bits_of(path: Path) -> int | None:
    import soundfile

    subtype = soundfile.info(path).subtype
    subtypes = FORMATS[path.suffix.lower()].subtypes
    return next((bits for bits, name in subtypes.items() if name == subtype), None)


def _are_equal(one: Path, other: Path) -> bool | None:
    """Whether two files of one kind have the same samples, read block by block."""
    import soundfile

    with soundfile.SoundFile(one) as first, soundfile.SoundFile(other) as second:
        if (first.format, first.subtype) != (second.format, second.subtype):
            return None
        if (len(first), first.samplerate) != (len(second), second.samplerate):
            return False
        while len(block := first.read(1 << 20, dtype="float32")):
            if not np.array_equal(block, second.read(1 << 20, dtype="float32")):
                return False
    return True
