"""Thousands of lines to wav files: reads them, skips what is done, writes each as it is ready."""

import dataclasses
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bark_jax.config import TRANSFORMERS
from bark_jax.generation import Generation
from bark_jax.pipeline import Bark
from bark_jax.sampling_config import SamplingConfig, per_row
from bark_jax.text import encode_text

FIELDS = ("text", "id", "voice", "seed", "sampling")


@dataclasses.dataclass(frozen=True)
class Line:
    """One thing to say."""

    id: str  # names its files
    text: str
    voice: Any
    seed: int
    sampling: dict[str, dict[str, Any]]  # every field of every stage

    def key(self, model: str) -> str:
        """A hash of everything that determines the audio."""
        content = {**dataclasses.asdict(self), "model": model}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run did."""

    n_made: int
    n_skipped: int  # done by an earlier run
    errors: list[str]  # one per line that could not be spoken
    audio_s: float
    wall_s: float


def read_lines(path: Path, *, voice: Any, seed: int, sampling: SamplingConfig) -> list[Line]:
    """Reads plain text (one text a line) or JSON Lines (`.jsonl`; fields: see `FIELDS`).

    A line without a seed of its own gets `seed` plus its number, counted from 0; one without an id
    is named by its number. Blank lines are skipped.

    Args:
      voice, seed, sampling: for lines without their own.
    Raises:
      ValueError: there are no lines, or some are not a JSON object, have unknown fields, no text, a
        bad sampling value, or an id that is taken or cannot name a file; the first 20 are listed.
    """
    is_json = path.suffix == ".jsonl"
    lines: list[Line] = []
    errors: list[str] = []
    seen: set[str] = set()
    for number, raw in enumerate(path.read_text(encoding="utf-8").splitlines()):
        if not raw.strip():
            continue
        try:
            fields: dict[str, Any] = _parse(raw) if is_json else {"text": raw}
            name = str(fields.get("id", f"{number:06d}"))
            if not re.fullmatch(r"[\w][\w.-]{0,99}", name) or name in seen:
                raise ValueError(
                    f"id={name!r} is taken or is not a file name (letters, digits, . _ -)"
                )
            seen.add(name)
            own = SamplingConfig.of(fields.get("sampling")) if "sampling" in fields else sampling
            lines.append(
                Line(
                    name,
                    fields["text"],
                    fields.get("voice", voice),
                    fields.get("seed", seed + number),
                    {
                        s: {k: v[0] for k, v in per_row(s, getattr(own, s), 1).items()}
                        for s in TRANSFORMERS
                    },
                )
            )
        except ValueError as error:
            errors.append(f"line {number + 1}: {error}")
    if errors:
        raise ValueError(f"{path}: " + "; ".join(errors[:20]))
    if not lines:
        raise ValueError(f"{path} has no lines to speak")
    return lines


def speak_lines(
    bark: Bark,
    lines: Sequence[Line],
    out_dir: Path,
    *,
    model: str,
    batch_rows: int | None = None,
    part: tuple[int, int] = (0, 1),
    progress: bool = True,
) -> Outcome:
    """Writes `ID.wav` for every line, and one row per line to `results.jsonl`.

    An interrupted run resumes where it stopped: lines whose row has the same key, and whose file
    is there, are skipped. A line that cannot be spoken is recorded, and the others go on.

    Args:
      model: identifies the model in the key.
      part: (i, n): take every n-th line from the i-th on, counted from 0, for n processes.
    """
    begin = time.perf_counter()
    index, count = part
    out_dir.mkdir(parents=True, exist_ok=True)
    suffix = "" if count == 1 else f"-{index + 1}-of-{count}"
    record = out_dir / f"results{suffix}.jsonl"
    mine = list(lines)[index::count]
    done = _done(out_dir)
    todo = [line for line in mine if done.get(line.id) != line.key(model)]
    errors: dict[str, str] = {}
    with record.open("a", encoding="utf-8") as file:

        def write(row: Mapping[str, Any]) -> None:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            file.flush()

        for line in todo:
            if problem := problem_of(bark, line):
                errors[line.id] = f"{line.id}: {problem}"
                write({"id": line.id, "text": line.text, "error": problem})
        sound = [line for line in todo if line.id not in errors]
        audio_s = 0.0
        with tqdm(total=len(sound), unit="line", disable=None if progress else True) as bar:
            for row, made in stream_lines(bark, sound, batch_rows):
                line = sound[row]
                made.save(out_dir / f"{line.id}.wav")
                write({"id": line.id, "key": line.key(model), **_facts(made)})
                audio_s += made.duration_s
                rate = audio_s / (time.perf_counter() - begin)
                bar.set_postfix_str(f"{audio_s:.0f} s of audio, {rate:.2f} a second")
                bar.update()
    return Outcome(
        len(sound),
        len(mine) - len(todo),
        list(errors.values()),
        audio_s,
        time.perf_counter() - begin,
    )


def stream_lines(
    bark: Bark, lines: Sequence[Line], batch_rows: int | None
) -> Iterator[tuple[int, Generation]]:
    """`Bark.stream` for lines; yields (position in `lines`, generation)."""
    if not lines:
        return iter(())
    sampling = {
        stage: {name: [line.sampling[stage][name] for line in lines] for name in fields}
        for stage, fields in lines[0].sampling.items()
    }
    return bark.stream(
        [line.text for line in lines],
        voice=[line.voice for line in lines],
        seed=[line.seed for line in lines],
        sampling=sampling,
        batch_rows=batch_rows,
    )


def _parse(raw: str) -> dict[str, Any]:
    fields = json.loads(raw)
    if not isinstance(fields, dict) or not isinstance(fields.get("text"), str):
        raise ValueError('want a JSON object with a "text"')
    if unknown := fields.keys() - set(FIELDS):
        raise ValueError(f"unknown fields {sorted(unknown)}; want {FIELDS}")
    return fields


def problem_of(bark: Bark, line: Line) -> str | None:
    """Why a line cannot be spoken; None if it can."""
    try:
        encode_text(bark.runner.tokenizer, line.text, bark.config.tokens)
        bark.voices.resolve(line.voice)
    except (ValueError, OSError) as error:
        return str(error)
    return None


def _done(out_dir: Path) -> dict[str, str]:
    """id → key of lines that earlier runs, of any part, have finished."""
    done: dict[str, str] = {}
    for record in sorted(out_dir.glob("results*.jsonl")):
        for raw in record.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(raw)
            except json.JSONDecodeError:
                continue  # the last row of a run that was killed while writing
            if "key" in row and os.path.exists(out_dir / f"{row['id']}.wav"):
                done[row["id"]] = row["key"]
    return done


def _facts(made: Generation) -> dict[str, Any]:
    return {
        "text": made.text,
        "seed": made.seed,
        "duration_s": round(made.duration_s, 3),
        "finish_reason": made.finish_reason,
    }
