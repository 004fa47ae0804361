"""Audio files, whose format the name tells, with everything needed to make them again inside.

Metadata are JSON in the file's comment. Where that is too small for them (a long text in a WAV, any
text in an MP3), they stand whole in a sidecar, `NAME.json`, and the comment says so.
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from bark_jax.runtime.files import MOST_NAME_BYTES, NAME_BYTES, check_room, write_json
from bark_jax.runtime.lines import parse_object

BLOCK = 1 << 14  # samples; encoders are given blocks of this, whatever the caller's sizes
SIDECAR = "sidecar"  # entry of a comment that names the file with all of it
PEAK_CHUNK, HEADER_KEPT_TRUE = 0x1050, 0x1061  # commands of sndfile.h


@dataclasses.dataclass(frozen=True)
class Format:
    """How a kind of file is written; the first of its subtypes is the default."""

    format: str
    subtypes: Mapping[int | None, str]  # by bits a sample
    comment_bytes: int  # that libsndfile reads back whole


FORMATS = {
    ".wav": Format("WAV", {32: "FLOAT", 16: "PCM_16", 24: "PCM_24"}, 2000),
    ".flac": Format("FLAC", {24: "PCM_24", 16: "PCM_16"}, 1 << 20),
    ".ogg": Format("OGG", {None: "VORBIS"}, 1 << 20),
    ".opus": Format("OGG", {None: "OPUS"}, 50_000),  # its header is one page
    ".mp3": Format("MP3", {None: "MPEG_LAYER_III"}, 0),
}


def check_name(path: str | os.PathLike[str], bits: int | None = None) -> Path:
    """The path, if its suffix is a format, and that has this many bits a sample.

    Raises:
      ValueError: it is not, or has not.
    """
    path = Path(path).expanduser()
    known = FORMATS.get(path.suffix.lower())
    if known is None:
        raise ValueError(f"path={str(path)!r} must end in {', '.join(FORMATS)}")
    if bits is not None and bits not in known.subtypes:
        allowed = [str(each) for each in known.subtypes if each]
        want = f"want {' or '.join(allowed)}" if allowed else "it has none"
        raise ValueError(f"bits={bits} is not of a {path.suffix} file; {want}")
    return path


class AudioWriter:
    """A context that writes one channel of audio, block by block."""

    def __init__(
        self,
        path: Path,
        sample_rate: int,
        metadata: Mapping[str, Any],
        *,
        suffix: str,
        bits: int | None = None,
        sidecar: str | None = None,
    ) -> None:
        """Opens the file.

        Args:
          suffix: of the format; `path` itself may have a temporary name.
          metadata: plain data with a "text", which is cut in the comment where all is too long.
          bits: a sample; None is the format's default.
          sidecar: name of the file beside it that has all metadata, if need be.
        Raises:
          OSError: the file cannot be written, or the format lacks the sample rate.
        """
        import soundfile

        kind = FORMATS[suffix.lower()]
        subtype = kind.subtypes[bits] if bits else next(iter(kind.subtypes.values()))
        self._path, self._waiting = path, np.zeros(0, np.float32)
        with self._named_errors():
            self._file = soundfile.SoundFile(
                path, "w", sample_rate, channels=1, subtype=subtype, format=kind.format
            )
            if kind.format == "WAV":
                _command(self._file, PEAK_CHUNK, False)  # it has the time: equal files would differ
                _command(self._file, HEADER_KEPT_TRUE, True)  # it can be played meanwhile
            if comment := comment_of(metadata, kind.comment_bytes, sidecar):
                self._file.comment = comment

    def write(self, samples: np.ndarray) -> None:
        """Appends samples (S,) float32."""
        waiting = np.concatenate([self._waiting, samples])
        n_whole = len(waiting) // BLOCK * BLOCK
        with self._named_errors():
            for begin in range(0, n_whole, BLOCK):
                self._file.write(waiting[begin : begin + BLOCK])
        self._waiting = waiting[n_whole:]

    def __enter__(self) -> "AudioWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._named_errors():
            self._file.write(self._waiting)
            self._file.close()

    @contextlib.contextmanager
    def _named_errors(self):
        """libsndfile keeps the system's reason to itself."""
        import soundfile

        try:
            yield
        except soundfile.LibsndfileError as error:
            check_room(self._path, BLOCK)
            raise OSError(errno.EINVAL, error.error_string, str(self._path)) from error


def _command(file: Any, number: int, value: bool) -> None:
    """A command of libsndfile that python-soundfile has no name for, through its handles."""
    import soundfile

    handle, nothing = getattr(file, "_file"), getattr(soundfile, "_ffi").NULL  # noqa: B009
    getattr(soundfile, "_snd").sf_command(handle, number, nothing, int(value))  # noqa: B009


def comment_of(metadata: Mapping[str, Any], limit: int, sidecar: str | None) -> str | None:
    """JSON of at most `limit` bytes; None if not even what is beside the text fits.

    If all is too long, the text is cut and ends in an ellipsis, and `sidecar` is named.
    """
    content = json.dumps(metadata, ensure_ascii=False)
    if len(content.encode()) <= limit:
        return content
    small = {key: value for key, value in metadata.items() if key != "cues"}
    small |= {} if sidecar is None else {SIDECAR: sidecar}
    excess = len(json.dumps(small, ensure_ascii=False).encode()) - limit
    ellipsis = "…"
    room = len(metadata["text"].encode()) - max(0, excess) - len(ellipsis.encode())
    cut = metadata["text"].encode()[: max(0, room)].decode(errors="ignore") + ellipsis
    comment = json.dumps({**small, "text": cut}, ensure_ascii=False)
    return comment if len(comment.encode()) <= limit else None


def fits(metadata: Mapping[str, Any], suffix: str) -> bool:
    """Whether a file of this kind holds all metadata by itself."""
    n_bytes = len(json.dumps(metadata, ensure_ascii=False).encode())
    return n_bytes <= FORMATS[suffix.lower()].comment_bytes


def sidecar_of(path: Path) -> Path:
    """The file beside `path` that has its metadata where they do not fit into it.

    A name that has no room for five bytes more is cut, and told from others like it by its hash.
    """
    name = os.fsencode(path.name)
    if len(name) > MOST_NAME_BYTES - len(".json"):
        kept = name[:NAME_BYTES].decode(errors="ignore")
        return path.with_name(f"{kept}.{hashlib.sha256(name).hexdigest()[:8]}.json")
    return path.with_name(f"{path.name}.json")


def write_sidecar(path: Path, metadata: Mapping[str, Any]) -> None:
    """Writes the sidecar of an audio file if it needs one, or removes a former one of ours."""
    sidecar = sidecar_of(path)
    if not fits(metadata, path.suffix):
        write_json(sidecar, metadata)
    elif sidecar.is_file() and "bark_jax" in _object_in(sidecar.read_bytes()):
        sidecar.unlink()


def read_metadata(path: Path) -> dict[str, Any]:
    """What was written into an audio file, whole, from its comment or its sidecar.

    Raises:
      OSError: the file cannot be read.
      ValueError: it is no audio file, or nothing says how it was made.
    """
    import soundfile

    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with soundfile.SoundFile(path) as file:
            comment = file.comment
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{path} is not an audio file: {error}") from error
    found = _object_in(comment)
    if "text" in found and SIDECAR not in found:
        return found
    named = [path.with_name(Path(found[SIDECAR]).name)] if SIDECAR in found else []
    for sidecar in (*named, sidecar_of(path), path.with_suffix(".json")):
        if sidecar.is_file() and "text" in (beside := _object_in(sidecar.read_bytes())):
            return beside
    if named:
        raise ValueError(f"{path} has only a part of its text: {named[0]}, with all, is missing")
    raise ValueError(f"{path} does not say how it was made: it has no metadata of bark-jax")


def _object_in(content: str | bytes) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        return parse_object(content)
    return {}
