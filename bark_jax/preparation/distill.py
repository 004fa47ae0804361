"""Training records from a model's own speech: no recordings and no semantic tokenizer needed."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bark_jax.batch_files import Line, problem_of, read_lines, stream_lines
from bark_jax.data.manifest import Manifest
from bark_jax.data.pcm import quantize_audio, restore_audio
from bark_jax.data.records import Record
from bark_jax.generation import Generation
from bark_jax.pipeline import Bark
from bark_jax.preparation.corpus import Skipped
from bark_jax.preparation.models import ModelSource, model_sha256, text_ids, token_spec
from bark_jax.preparation.shard_builder import Chunk, ShardBuilder, plan_chunks
from bark_jax.runtime.progress import work_bar
from bark_jax.sampling_config import SamplingConfig
from bark_jax.text import normalize_whitespace


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistillSettings:
    """What `bark-jax distill-data` does."""

    texts: str  # one a line, or .jsonl with fields of its own; see `batch_files.read_lines`
    out: str
    model: ModelSource
    voice: str | None = None  # for lines without one
    seed: int = 0  # plus the line's number
    sampling: dict[str, Any] = dataclasses.field(default_factory=dict)  # as in `Bark.generate`
    require_eos: bool = True  # skip speech that the model did not end by itself
    min_s: float = 0.1
    eval_share: float = 0.02
    keep_audio: bool = True
    chunk_rows: int = 256  # texts per shard
    batch_rows: int | None = None  # spoken at a time; None: a measured choice for the platform


def distill(settings: DistillSettings) -> Manifest:
    """Writes a directory of training data. The same call resumes where a killed one stopped.

    Raises:
      OSError: a file cannot be read or written, or the disk is full; what is finished stays.
      ValueError: a setting is out of its range, or there is nothing to speak.
    """
    path = Path(settings.texts).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"texts={settings.texts!r} is not a file")
    sampling = SamplingConfig.of(settings.sampling)
    read = read_lines(path, voice=settings.voice, seed=settings.seed, sampling=sampling)
    bark = Bark.from_pretrained(settings.model.source)
    lines = [line.settled(bark.sampling) for line in read]
    chunks = plan_chunks(
        {line.id: line for line in lines},
        eval_share=settings.eval_share,
        chunk_rows=settings.chunk_rows,
    )
    with ShardBuilder(Path(settings.out).expanduser(), _facts(settings, lines, bark)) as builder:
        if (manifest := builder.finished()) is not None:
            return manifest
        _write_chunks(builder, builder.todo(chunks), bark, settings)
        bark.runner.tokenizer.save(Path(settings.out).expanduser() / "tokenizer")
        return builder.complete(chunks, token_spec(bark))


def _write_chunks(
    builder: ShardBuilder, todo: Sequence[Chunk[Line]], bark: Bark, settings: DistillSettings
) -> None:
    begin, made_s = time.perf_counter(), 0.0
    with work_bar(sum(len(chunk.rows) for chunk in todo), "text") as bar:
        for chunk in todo:
            results: dict[str, Record | Skipped] = {}
            sound: list[tuple[Line, np.ndarray]] = []
            for line in chunk.rows:
                try:
                    ids = text_ids(bark, line.text)
                    if problem := problem_of(bark, line):
                        raise ValueError(problem)
                    sound.append((line, ids))
                except ValueError as error:
                    results[line.id] = Skipped(line.id, str(error))
            bar.update(len(results))
            for i, made in stream_lines(bark, [line for line, _ in sound], settings.batch_rows):
                line, ids = sound[i]
                results[line.id] = _result(line, ids, made, settings)
                made_s += made.duration_s
                rate = made_s / (time.perf_counter() - begin)
                bar.set_postfix_str(f"{made_s:.0f} s of audio, {rate:.2f} a second")
                bar.update()
            builder.finish(chunk, [results[line.id] for line in chunk.rows])


def _result(
    line: Line, ids: np.ndarray, made: Generation, settings: DistillSettings
) -> Record | Skipped:
    if settings.require_eos and made.finish_reason != "eos":
        return Skipped(line.id, f"its speech did not end by itself ({made.finish_reason})")
    if made.duration_s < settings.min_s:
        return Skipped(line.id, f"its speech lasts {made.duration_s:.2f} s")
    audio = restore_audio(quantize_audio(made.audio)) if settings.keep_audio else None
    speaker = line.voice or ""
    text = normalize_whitespace(line.text)
    return Record(line.id, text, speaker, ids, made.semantic, made.fine, audio)


def _facts(settings: DistillSettings, lines: Sequence[Line], bark: Bark) -> dict[str, Any]:
    """What the records depend on; the number of rows spoken at a time is not part of it."""
    content = json.dumps([line.content() for line in lines])
    return {
        "program": "distill_data/1",
        "texts_sha256": hashlib.sha256(content.encode()).hexdigest(),
        "model_sha256": model_sha256(bark),
        "dtype": bark.runner.execution.dtypes.params,
        "text_vocab_sha256": bark.runner.tokenizer.sha256,
        "require_eos": settings.require_eos,
        "min_s": settings.min_s,
        "eval_share": settings.eval_share,
        "keep_audio": settings.keep_audio,
        "chunk_rows": settings.chunk_rows,
    }
