"""Training records on disk: shards of ArrayRecord, each record one msgpack map.

manifest.json                        see `manifest.py`; written last
{train,eval}-tokens-00000.array_record …   id, text, speaker, text_ids, semantic, codes
{train,eval}-audio-00000.array_record …    id, audio: the same records in the same order
"""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from array_record.python import array_record_data_source
from array_record.python.array_record_module import ArrayRecordWriter
from flax import serialization

from bark_jax.data.manifest import SPLITS, Manifest, Shard, read_manifest
from bark_jax.data.pcm import quantize_audio, restore_audio
from bark_jax.runtime.files import replacing

# Samples hardly compress, and reading them would take three times as long.
COMPRESSION = {"tokens": "zstd", "audio": "uncompressed"}


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """One utterance."""

    id: str
    text: str
    speaker: str  # "" if not known
    text_ids: np.ndarray  # (n,) int32, word pieces without the model's offset
    semantic: np.ndarray  # (N,) int32
    codes: np.ndarray  # (Q, T) int32
    audio: np.ndarray | None = None  # (S,) float32 in [-1, 1] at the codec's sample rate


def write_shards(
    directory: Path, split: str, index: int, records: Sequence[Record]
) -> tuple[Shard, ...]:
    """Writes one shard of tokens, and one of audio if the records have it; none for no records.

    Raises:
      OSError: the disk is full or cannot be written; nothing of the shard is left.
    """
    if not records:
        return ()
    contents = {"tokens": [_pack_tokens(record) for record in records]}
    if records[0].audio is not None:
        contents["audio"] = [_pack_audio(record) for record in records]
    made = []
    for kind, packed in contents.items():
        path = directory / f"{split}-{kind}-{index:05d}.array_record"
        _write_file(path, packed, COMPRESSION[kind])
        made.append(Shard.of(path, split, kind, len(packed)))
    return tuple(made)


class RecordSource(Sequence[Record]):
    """The records of one split, in any order and from any thread; pickles as its file names.

    Reading a record takes about 0.1 ms, so nothing is cached here beyond the system's page cache.
    """

    def __init__(self, directory: Path, manifest: Manifest, split: str, with_audio: bool) -> None:
        self._tokens = _data_source(directory, manifest.files(split, "tokens"))
        self._audio = (
            _data_source(directory, manifest.files(split, "audio")) if with_audio else None
        )
        self._name = f"{split} records of {directory}"

    def __len__(self) -> int:
        return len(self._tokens)

    @functools.cached_property
    def speakers(self) -> list[str]:
        """The speaker of each record; the first use reads them all."""
        return [record.speaker for record in self]

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        """Raises IndexError past the end, ValueError where the file is damaged."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = range(len(self))[index]
        with self._damage_named(position):
            tokens = _unpack(self._tokens[position])
            audio = None
            if self._audio is not None:
                stored = _unpack(self._audio[position])
                if stored["id"] != tokens["id"]:
                    raise ValueError(f"its audio belongs to {stored['id']!r}")
                audio = restore_audio(stored["audio"])
            return Record(
                tokens["id"],
                tokens["text"],
                tokens["speaker"],
                tokens["text_ids"].astype(np.int32),
                tokens["semantic"].astype(np.int32),
                tokens["codes"].astype(np.int32),
                audio,
            )

    @contextlib.contextmanager
    def _damage_named(self, position: int) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"record {position} of the {self._name} is damaged: {error}. Compare the files "
                "with the hashes in manifest.json, or prepare the data again"
            ) from error


def open_source(
    directory: str | os.PathLike[str], split: str, *, with_audio: bool = False
) -> RecordSource:
    """The records of a split, "train" or "eval".

    Raises:
      FileNotFoundError, ValueError: as `read_manifest`; or the split has no records, or no audio.
    """
    if split not in SPLITS:
        raise ValueError(f"split={split!r} is not one of {SPLITS}")
    manifest = read_manifest(directory)
    if not manifest.files(split, "tokens"):
        raise ValueError(f"data={str(directory)!r} has no {split} records")
    if with_audio and not manifest.files(split, "audio"):
        raise ValueError(
            f"data={str(directory)!r} holds no audio; prepare it again with keep_audio=true"
        )
    return RecordSource(Path(directory).expanduser(), manifest, split, with_audio)


def _data_source(
    directory: Path, shards: Sequence[Shard]
) -> array_record_data_source.ArrayRecordDataSource:
    # With the range of its records given, a file is not opened before it is read.
    paths = [f"{directory / shard.file}[0:{shard.n_records}]" for shard in shards]
    return array_record_data_source.ArrayRecordDataSource(paths)


def _write_file(path: Path, packed: Sequence[bytes], compression: str) -> None:
    """Writes to a file beside `path`, then renames it."""
    with replacing(path) as partial:
        try:
            # One thread: more would compete with the workers that read audio.
            writer = ArrayRecordWriter(
                str(partial), f"group_size:1,max_parallelism:1,{compression}"
            )
            for record in packed:
                writer.write(record)
            writer.close()
        except RuntimeError as error:  # how the library reports a full disk
            raise OSError(f"cannot write {path}: {error}") from error


def _pack_tokens(record: Record) -> bytes:
    content: dict[str, Any] = {
        "id": record.id,
        "text": record.text,
        "speaker": record.speaker,
        "text_ids": np.asarray(record.text_ids, np.int32),
        "semantic": np.asarray(record.semantic, np.int32),
        "codes": _narrow(record.codes),
    }
    return serialization.msgpack_serialize(content)


def _pack_audio(record: Record) -> bytes:
    if record.audio is None:
        raise ValueError(f"record {record.id!r} has no audio, but others of its shard have")
    return serialization.msgpack_serialize({"id": record.id, "audio": quantize_audio(record.audio)})


def _unpack(packed: bytes) -> dict[str, Any]:
    content = serialization.msgpack_restore(packed)
    if not isinstance(content, dict):
        raise ValueError(f"it is not a map but {type(content).__name__}")
    return content


def _narrow(codes: np.ndarray) -> np.ndarray:
    """As int16 where the codes fit, to halve the bytes."""
    return codes.astype(np.int16 if codes.max(initial=0) < 1 << 15 else np.int32)
