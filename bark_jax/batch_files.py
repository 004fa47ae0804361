"""Thousands of lines to wav files: reads them, skips what is done, writes each as it is ready."""

import dataclasses
import hashlib
import json
import os
import time
import unicodedata
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bark_jax.batching import seeds_of
from bark_jax.generation import Generation
from bark_jax.guidance import SAME, others_of
from bark_jax.numbers import as_whole
from bark_jax.runtime import lines as lines_io
from bark_jax.runtime.files import make_folder
from bark_jax.runtime.locks import held_alone
from bark_jax.runtime.progress import work_bar
from bark_jax.sampling_config import SamplingConfig, recorded
from bark_jax.stages.checks import check_processors
from bark_jax.text import piece_ids

if TYPE_CHECKING:  # reading lines needs no JAX
    from bark_jax.pipeline import Bark

FIELDS = ("text", "id", "voice", "seed", "sampling", "guidance")
MOST_ID_BYTES = 200  # a file name holds 255, temporary ones included


@dataclasses.dataclass(frozen=True)
class Line:
    """One thing to say."""

    id: str  # names its files
    text: str
    voice: Any
    seed: int
    sampling: dict[str, dict[str, Any]]  # what is given, as plain data; the rest is the model's
    problem: str | None = None  # why it cannot be spoken, as far as reading it could tell
    guidance: dict[str, Any] | None = None  # the fields of a `Guidance`

    def settled(self, own: SamplingConfig) -> "Line":
        """The line with a model's own sampling in place of what is left to it."""
        values = SamplingConfig.of(self.sampling).over(own).plain()
        return dataclasses.replace(self, sampling=values)

    def content(self) -> dict[str, Any]:
        """What determines the audio, as plain data; of a line that is settled."""
        fields = {k: v for k, v in dataclasses.asdict(self).items() if k != "problem"}
        if self.guidance is None:  # as keys of earlier results lack it
            del fields["guidance"]
        return {**fields, "sampling": recorded(self.sampling)}

    def key(self, model: str) -> str:
        """A hash of everything that determines the audio."""
        content = {**self.content(), "model": model}
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
    is named by its number, with `_` after it where that is taken; null means not given. Blank lines
    are skipped. A line that is not a JSON object, has unknown fields or bad values, or whose id is
    taken or cannot name a file, has a `problem`. `voice`, `seed` and `sampling` are for lines
    without their own.

    Raises:
      ValueError: there are no lines, or the file is not UTF-8.
    """
    defaults = Line("", "", voice, seed, sampling.plain())
    lines: list[Line] = []
    taken: set[str] = set()
    is_json = path.suffix.lower() == ".jsonl"
    for number, raw in enumerate(lines_io.read_lines(path)):
        if raw.strip():
            lines.append(_line(raw, number, is_json, defaults, taken))
            taken.add(lines[-1].id)
    if not lines:
        raise ValueError(f"{path} has no lines to speak")
    return lines


def _line(raw: str, number: int, is_json: bool, defaults: Line, taken: Set[str]) -> Line:
    """One line of a file; what is wrong with it is its `problem`."""
    name = f"{number:06d}"
    while name in taken:  # by a line above that chose it
        name += "_"
    line = dataclasses.replace(defaults, id=name, text=raw, seed=defaults.seed + number)
    if not is_json:
        return line
    try:
        fields = {k: v for k, v in lines_io.parse_object(raw).items() if v is not None}
        if not isinstance(fields.get("text"), str):
            raise ValueError('want a JSON object with a "text"')
        line = dataclasses.replace(line, text=fields["text"])
        if unknown := fields.keys() - set(FIELDS):
            raise ValueError(f"unknown fields {sorted(unknown)}; want {FIELDS}")
        if "id" in fields:
            line = dataclasses.replace(line, id=_checked_id(str(fields["id"]), taken))
        own, guidance = fields.get("sampling"), fields.get("guidance")
        others_of(guidance, 1)
        return dataclasses.replace(
            line,
            voice=fields.get("voice", line.voice),
            seed=seeds_of(as_whole(fields.get("seed", line.seed)), 1)[0],
            sampling=line.sampling if own is None else SamplingConfig.of(own).plain(),
            guidance=guidance,
        )
    except (TypeError, ValueError) as error:
        return dataclasses.replace(line, problem=f"line {number + 1}: {error}")


def _checked_id(name: str, taken: Set[str]) -> str:
    """The id, composed (NFC); ValueError if it is taken or cannot name a file."""
    name = unicodedata.normalize("NFC", name)
    is_made_of_allowed = all(
        char in "_.-" or char.isalnum() or unicodedata.category(char).startswith("M")
        for char in name
    )
    if not name or name[0] in ".-" or not is_made_of_allowed or name in taken:
        raise ValueError(f"id={name!r} is taken or is not a file name (letters, digits, . _ -)")
    if (n_bytes := len(name.encode())) > MOST_ID_BYTES:
        raise ValueError(f"id={name!r} has {n_bytes} bytes, want at most {MOST_ID_BYTES}")
    return name


def speak_lines(
    bark: "Bark",
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
    make_folder(out_dir)
    suffix = "" if count == 1 else f"-{index + 1}-of-{count}"
    record = out_dir / f"results{suffix}.jsonl"
    mine = [line.settled(bark.sampling) for line in list(lines)[index::count]]
    errors: dict[str, str] = {}
    with held_alone(record), lines_io.appending_rows(record) as write:
        done = _done(out_dir)  # only now, for another run may have ended just before
        todo = [line for line in mine if done.get(line.id) != line.key(model)]
        for line in todo:
            if problem := problem_of(bark, line):
                errors[line.id] = f"{line.id}: {problem}"
                write({"id": line.id, "text": line.text, "error": problem})
        sound = [line for line in todo if line.id not in errors]
        audio_s = 0.0
        with work_bar(len(sound), "line", wanted=progress) as bar:
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
    bark: "Bark", lines: Sequence[Line], batch_rows: int | None
) -> Iterator[tuple[int, Generation]]:
    """`Bark.stream` for lines; yields (position in `lines`, generation)."""
    if not lines:
        return iter(())
    return bark.stream(
        [line.text for line in lines],
        voice=[line.voice for line in lines],
        seed=[line.seed for line in lines],
        sampling=SamplingConfig.of_rows([line.sampling for line in lines]),
        guidance=[line.guidance for line in lines],
        batch_rows=batch_rows,
    )


def problem_of(bark: "Bark", line: Line) -> str | None:
    """Why a line cannot be spoken; None if it can."""
    if line.problem is not None:
        return line.problem
    try:
        piece_ids(bark.runner.tokenizer, line.text, bark.config.tokens)
        bark.voices.resolve(line.voice)
        for other in others_of(line.guidance, 1):
            if other is not None and other.voice is not SAME:
                bark.voices.resolve(other.voice)
        sampling = SamplingConfig.of(line.sampling).over(bark.sampling)
        check_processors(sampling.per_row(1), bark.config.tokens)
    except (ValueError, OSError) as error:
        return str(error)
    return None


def _done(out_dir: Path) -> dict[str, str]:
    """id → key of lines that earlier runs, of any part, have finished."""
    done: dict[str, str] = {}
    for record in sorted(out_dir.glob("results*.jsonl")):
        for row in lines_io.read_rows(record):
            name, key = row.get("id"), row.get("key")
            if isinstance(name, str) and key and os.path.exists(out_dir / f"{name}.wav"):
                done[name] = key
    return done


def _facts(made: Generation) -> dict[str, Any]:
    return {
        "text": made.text,
        "seed": made.seed,
        "duration_s": round(made.duration_s, 3),
        "finish_reason": made.finish_reason,
    }
