"""A long text's audio on disk while it is made, such that any interruption can be made good.

NAME               the audio, playable at any time
NAME.json          the manifest (suffix replaced)
.NAME.samples      all samples so far, float32: what a resumed run gives to a new encoder
.NAME.state.npz    the session after its last wave, and how many samples count
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bark_jax.audio_files import AudioWriter
from bark_jax.long.manifest import BEGUN, DONE, manifest_of, manifest_path, write_manifest
from bark_jax.long.session import Session
from bark_jax.runtime.files import errors_naming, replacing

READ_SAMPLES = 1 << 20  # at a time


def work_files(path: Path) -> tuple[Path, Path]:
    """Where an unfinished recording has its samples and its state."""
    return path.with_name(f".{path.name}.samples"), path.with_name(f".{path.name}.state.npz")


class Recording:
    """Takes the samples of a session wave by wave. Made by `recording`."""

    def __init__(
        self, path: Path, session: Session, content: dict[str, Any], key: str, bits: int | None
    ) -> None:
        self._path, self._session, self._content, self._key = path, session, content, key
        self._samples, self._state = work_files(path)
        self._bits = bits
        self._raw: BinaryIO
        self._writer: AudioWriter
        self.manifest: dict[str, Any]

    def open(self, stack: ExitStack) -> None:
        """Goes on where an equal run stopped, or begins."""
        n_samples = self._restore()
        self._writer = stack.enter_context(
            AudioWriter(
                self._path,
                self._session.sample_rate,
                self._content,
                suffix=self._path.suffix,
                bits=self._bits,
                sidecar=manifest_path(self._path).name,
            )
        )
        self._raw = stack.enter_context(self._samples.open("r+b" if n_samples else "w+b"))
        self._raw.truncate(4 * n_samples)  # what was written after the last wave does not count
        while len(block := np.fromfile(self._raw, "<f4", READ_SAMPLES)):
            self._writer.write(block)
        self.write_manifest(BEGUN)

    def add(self, samples: np.ndarray) -> None:
        """Appends the samples of a wave (S,), and makes the wave count."""
        self._raw.write(samples.astype("<f4").tobytes())
        self._raw.flush()
        os.fsync(self._raw.fileno())
        self._save()
        self._writer.write(samples)
        self.write_manifest(BEGUN)

    def write_manifest(self, status: str) -> None:
        manifest = manifest_of(self._session, self._content, self._key, status)
        self.manifest = write_manifest(self._path, manifest)

    def complete(self) -> None:
        """The text is spoken: what was needed to go on is removed."""
        self.write_manifest(DONE)
        self._state.unlink(missing_ok=True)
        self._samples.unlink(missing_ok=True)

    def _save(self) -> None:
        arrays = {"key": np.array(self._key), **self._session.state()}
        with replacing(self._state) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]

    def _restore(self) -> int:
        """Puts the session where the last wave left it; the number of its samples, 0 if none."""
        if not (self._state.is_file() and self._samples.is_file()):
            return 0
        with np.load(self._state, allow_pickle=False) as arrays:
            if str(arrays["key"]) != self._key:
                return 0
            self._session.restore(arrays)
        return self._session.joiner.n_samples


@contextmanager
def recording(
    path: Path, session: Session, content: dict[str, Any], key: str, bits: int | None
) -> Iterator[Recording]:
    """A recording that is closed, and playable, however the block ends."""
    made = Recording(path, session, content, key, bits)
    with errors_naming(path, path), ExitStack() as stack:
        made.open(stack)
        yield made
    if session.is_done:
        made.complete()
