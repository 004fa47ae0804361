"""Writes a directory of training data chunk by chunk, so that a killed run can be resumed.

OUT/progress/settings.json           what the unfinished data are made with
OUT/progress/train-00000.json …      one per finished chunk: its shards, counts and what was skipped
OUT/progress/keep/…                  what moves into OUT at the end, such as a new tokenizer
OUT/skipped.jsonl, OUT/manifest.json written at the end, when progress/ is removed
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from bark_jax.config import from_dict, to_dict
from bark_jax.data.manifest import (
    MANIFEST_FILE,
    SPLITS,
    Manifest,
    Shard,
    TokenSpec,
    read_manifest,
    write_manifest,
)
from bark_jax.data.records import Record, write_shards
from bark_jax.preparation.corpus import Skipped
from bark_jax.runtime.files import read_json, replacing, write_json
from bark_jax.runtime.locks import LOCK_FILES, held_alone

PROGRESS_DIR, KEEP_DIR, SETTINGS_FILE = "progress", "keep", "settings.json"
SKIPPED_FILE = "skipped.jsonl"
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Chunk(Generic[T]):
    """Rows that become one shard, the same however the work is shared out."""

    split: str
    index: int
    rows: Sequence[T]

    @property
    def name(self) -> str:
        return f"{self.split}-{self.index:05d}"


def plan_chunks(rows: Mapping[str, T], *, eval_share: float, chunk_rows: int) -> list[Chunk[T]]:
    """Splits rows, by their ids alone, into training and evaluation, and both into chunks.

    Args:
      rows: id -> row.
      eval_share: about this share is kept for evaluation; at least one row, unless it is 0 or
        there is only one row.
    """
    if not 0 <= eval_share < 1:
        raise ValueError(f"eval_share={eval_share} is not in [0, 1)")
    if chunk_rows < 1:
        raise ValueError(f"chunk_rows={chunk_rows} is less than 1")
    place = {name: _place(name) for name in rows}
    kept = {name for name in rows if place[name] < eval_share}
    if eval_share and not kept and len(rows) > 1:
        kept = {min(place, key=lambda name: place[name])}
    if len(kept) == len(rows):
        kept -= {max(place, key=lambda name: place[name], default="")}
    chunks = []
    for split in SPLITS:
        mine = [row for name, row in rows.items() if (name in kept) == (split == "eval")]
        for index in range(-(-len(mine) // chunk_rows)):
            part = mine[index * chunk_rows : (index + 1) * chunk_rows]
            chunks.append(Chunk(split, index, part))
    return chunks


class ShardBuilder:
    """Keeps what is finished; use as a context manager, which holds a lock on the directory."""

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        """`settings` are plain data: everything that the content of the shards depends on."""
        self.out = out
        self._settings = json.loads(json.dumps(settings))
        self._progress = out / PROGRESS_DIR
        self._held = contextlib.ExitStack()

    def __enter__(self) -> "ShardBuilder":
        """Raises ValueError if `out` holds something else, InUseError if another run has it."""
        self.out.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as held:
            held.enter_context(held_alone(self.out))
            self._check_settings()
            for path in self.out.glob(".*.partial"):  # of a killed run
                path.unlink()
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def kept(self, name: str) -> Path:
        """The place of something that belongs to the data beside the shards, there or not yet."""
        done, under_way = self.out / name, self._progress / KEEP_DIR / name
        return done if done.exists() else under_way

    def finished(self) -> Manifest | None:
        """The data, if an earlier run has completed them."""
        return read_manifest(self.out) if (self.out / MANIFEST_FILE).is_file() else None

    def todo(self, chunks: Sequence[Chunk[T]]) -> list[Chunk[T]]:
        """The chunks that no earlier run has finished."""
        return [chunk for chunk in chunks if not self._note(chunk).is_file()]

    def finish(self, chunk: Chunk[T], results: Sequence[Record | Skipped]) -> None:
        """Writes the shards of a chunk, one result per row.

        Raises:
          OSError: the disk is full or cannot be written; nothing of this chunk is left.
        """
        records = [result for result in results if isinstance(result, Record)]
        skipped = [result for result in results if isinstance(result, Skipped)]
        try:
            shards = write_shards(self.out, chunk.split, chunk.index, records)
            note = {
                "counts": _counts(records),
                "skipped": [dataclasses.asdict(each) for each in skipped],
                "shards": [to_dict(shard) for shard in shards],
            }
            write_json(self._note(chunk), note)
        except OSError as error:
            raise OSError(
                f"{error}. What is finished stays; the same command goes on from there"
            ) from error

    def complete(
        self, chunks: Sequence[Chunk[T]], spec: TokenSpec, skipped: Sequence[Skipped] = ()
    ) -> Manifest:
        """Writes `skipped.jsonl` and the manifest once every chunk is finished.

        Args:
          spec: what the numbers in the records mean.
          skipped: rows that were never part of a chunk.
        Raises:
          ValueError: not one training record was made. What was finished is removed, so that the
            same command can try again.
        """
        counts: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
        shards: list[Shard] = []
        left_out = [dataclasses.asdict(each) for each in skipped]
        for chunk in chunks:
            note = read_json(self._note(chunk))
            counts[chunk.split].update(note["counts"])
            left_out += note["skipped"]
            shards += [from_dict(Shard, shard) for shard in note["shards"]]
        _write_lines(self.out / SKIPPED_FILE, left_out)
        if not counts["train"]["n_records"]:
            shutil.rmtree(self._progress)
            raise ValueError(
                f"no record was made: {len(left_out)} rows were skipped"
                + "".join(f"; {row['id']}: {row['reason']}" for row in left_out[:3])
                + f"; all of them: {self.out / SKIPPED_FILE}"
            )
        for path in (self._progress / KEEP_DIR).glob("*"):
            os.replace(path, self.out / path.name)
        manifest = Manifest(
            spec=spec,
            settings=self._settings,
            counts={
                split: {**sums, "audio_s": float(sums["n_frames"] / spec.frame_rate_hz)}
                for split, sums in counts.items()
            },
            n_skipped=len(left_out),
            shards=tuple(shards),
        )
        write_manifest(self.out, manifest)
        shutil.rmtree(self._progress)
        return manifest

    def _note(self, chunk: Chunk[Any]) -> Path:
        return self._progress / f"{chunk.name}.json"

    def _check_settings(self) -> None:
        """Continues unfinished data only if they were begun with the same settings."""
        manifest = self.finished()
        path = self._progress / SETTINGS_FILE
        if manifest is not None:
            there = manifest.settings
        elif path.is_file():
            there = read_json(path)
        else:
            ours = {PROGRESS_DIR, SKIPPED_FILE, *LOCK_FILES}
            if strangers := sorted({each.name for each in self.out.iterdir()} - ours):
                raise ValueError(
                    f"out={str(self.out)!r} holds other things: {strangers[:3]}; want a new folder"
                )
            self._progress.mkdir(exist_ok=True)
            write_json(path, self._settings)
            return
        if changed := list(_differences(there, self._settings)):
            raise ValueError(
                f"out={str(self.out)!r} holds data made otherwise ("
                + "; ".join(changed)
                + "); want another folder, or remove this one"
            )


def _counts(records: Sequence[Record]) -> dict[str, int]:
    return {
        "n_records": len(records),
        "n_frames": sum(record.codes.shape[1] for record in records),
        "n_semantic": sum(len(record.semantic) for record in records),
        "n_text_ids": sum(len(record.text_ids) for record in records),
    }


def _place(name: str) -> float:
    """A fixed number in [0, 1) for an id, evenly distributed over ids."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], at: str = "") -> Iterator[str]:
    for name in sorted({**old, **new}):
        a, b = old.get(name), new.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from _differences(a, b, f"{at}{name}.")
        elif a != b:
            yield f"{at}{name} was {a!r}, is {b!r}"


def _write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with replacing(path) as partial:
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        partial.write_text("".join(lines), encoding="utf-8")
