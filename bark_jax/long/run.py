"""`Bark.generate_long`: a text of any length to one recording, in memory or in a file."""

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bark_jax import __version__
from bark_jax.audio_files import AudioWriter, check_name
from bark_jax.evaluation.judges import Model as Judging
from bark_jax.evaluation.judges import get_judge
from bark_jax.evaluation.recognizer import make_recognizer
from bark_jax.long.guards import Recognizer
from bark_jax.long.manifest import (
    DONE,
    claim_manifest,
    manifest_of,
    manifest_path,
    write_manifest,
)
from bark_jax.long.reading import Document
from bark_jax.long.recording import recording, work_files
from bark_jax.long.script import Script
from bark_jax.long.session import Model, Session
from bark_jax.numbers import COUNT, check_allowed
from bark_jax.runtime.files import check_writable, replacing
from bark_jax.runtime.locks import held_alone
from bark_jax.runtime.progress import seconds_bar
from bark_jax.text import warn_of_unknown_words


class Speaker(Model, Judging, Protocol):
    """What `generate_long` needs of `Bark`."""


@dataclasses.dataclass(frozen=True, eq=False)
class LongGeneration:
    """A long text as audio, and the record of how it was made."""

    manifest: dict[str, Any]
    path: Path | None  # of the audio, if it was written while it was made
    _samples: np.ndarray | None = None

    def __repr__(self) -> str:
        where = f", {str(self.path)!r}" if self.path else ""
        return (
            f"LongGeneration({len(self.pieces)} pieces, {self.duration_s:.2f} s at "
            f"{self.sample_rate} Hz, seed={self.manifest['seed']}{where})"
        )

    @property
    def pieces(self) -> list[dict[str, Any]]:
        """What was said when, from which tries; see docs/long.md."""
        return self.manifest["pieces"]

    @property
    def sample_rate(self) -> int:
        return self.manifest["sample_rate"]

    @property
    def duration_s(self) -> float:
        return self.manifest["duration_s"]

    @property
    def audio(self) -> np.ndarray:
        """All samples (S,) float32; read from the file where they were written to one."""
        if self._samples is not None:
            return self._samples
        import soundfile

        assert self.path is not None
        return soundfile.read(self.path, dtype="float32")[0]

    def save(self, path: str | os.PathLike[str], *, bits: int | None = None) -> None:
        """Writes the audio, in the format of the name, and the manifest beside it.

        Args:
          bits: a sample, see `Generation.save`.
        Raises:
          ValueError: the name's format is unknown, or its manifest's name is another file's.
          OSError: it cannot be written.
        """
        path = check_name(path, bits)
        claim_manifest(path, self.manifest["key"])
        with (
            replacing(path) as partial,
            AudioWriter(
                partial,
                self.sample_rate,
                content_of(self.manifest),
                suffix=path.suffix,
                bits=bits,
                sidecar=manifest_path(path).name,
            ) as writer,
        ):
            writer.write(self.audio)
        write_manifest(path, self.manifest)


def generate_long(
    bark: Speaker,
    text: str | Document,
    *,
    voice: Any = None,
    voices: Mapping[str, Any] | None = None,
    seed: int = 0,
    sampling: Any = None,
    settings: Any = None,
    recognizer: Recognizer | None = None,
    path: str | os.PathLike[str] | None = None,
    bits: int | None = None,
    batch_rows: int | None = None,
    progress: bool = False,
) -> LongGeneration:
    """See `Bark.generate_long`."""
    script = Script.of(
        text,
        voice=voice,
        voices=voices or {},
        seed=seed,
        sampling=sampling,
        settings=settings,
        own=bark.sampling,
    )
    if recognizer is None and script.settings.recognizer is not None:
        recognizer = make_recognizer(script.settings.recognizer)
    judge_of = None
    if script.settings.judge is not None:
        judge_of = functools.partial(get_judge, script.settings.judge, bark)
        judge_of(None)  # fails early if there is none
    given = {
        speaker: bark.voices.resolve(own)
        for speaker, own in ({None: voice} | dict(voices or {})).items()
        if own is not None
    }
    rows = bark.batch_rows if batch_rows is None else batch_rows
    check_allowed("batch_rows", rows, COUNT)
    session = Session(bark, script, given, rows, recognizer, judge_of)
    if not session.pieces:
        raise ValueError("text holds nothing to say")
    warn_of_unknown_words(bark.runner.tokenizer, " ".join(piece.text for piece in session.pieces))
    content = {
        **script.content(),
        "batch_rows": rows,
        "made_by": dict(bark.runner.origin),
        "bark_jax": __version__,
    }
    key = _key(content, given)
    if path is not None:
        return _to_file(session, content, key, check_name(path, bits), bits, progress)
    parts = []
    with seconds_bar(session.expected_s[1], progress) as report:
        while not session.is_done:
            parts.append(session.step(lambda: report(*session.expected_s)))
    return LongGeneration(manifest_of(session, content, key, DONE), None, np.concatenate(parts))


def _to_file(
    session: Session,
    content: dict[str, Any],
    key: str,
    path: Path,
    bits: int | None,
    progress: bool,
) -> LongGeneration:
    """Goes on where an equal run stopped; one that is complete is not made again."""
    for file in (path, manifest_path(path), *work_files(path)):
        check_writable(file)
    with held_alone(path):
        found = claim_manifest(path, key)
        if found and found["key"] == key and found["status"] == DONE and path.is_file():
            return LongGeneration(found, path)
        with (
            recording(path, session, content, key, bits) as made,
            seconds_bar(session.expected_s[1], progress) as report,
        ):
            while not session.is_done:
                made.add(session.step(lambda: report(*session.expected_s)))
        return LongGeneration(made.manifest, path)


def _key(content: Mapping[str, Any], given: Mapping[str | None, Any]) -> str:
    """A hash of everything that the samples depend on, the rows of a batch among it."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for voice in given.values():
        for array in (voice.semantic, voice.coarse, voice.fine):
            digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def content_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest says of the whole: the text, its settings and the model."""
    names = (
        "text", "seed", "voice", "voices", "sampling", "settings", "cues", "batch_rows", "made_by",
        "bark_jax",
    )  # fmt: skip
    return {name: manifest[name] for name in names if name in manifest}
