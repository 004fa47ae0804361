"""From recordings to training records; see `PrepareSettings`."""

import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bark_jax.checkpoint import load_source
from bark_jax.data.manifest import Manifest
from bark_jax.data.pcm import restore_audio
from bark_jax.data.records import Record
from bark_jax.pipeline import Bark
from bark_jax.preparation.clip_encoder import encode_clips
from bark_jax.preparation.clip_reader import ClipReader, ReadClip
from bark_jax.preparation.clips import ClipSettings
from bark_jax.preparation.corpus import Corpus, Skipped, Utterance, read_corpus
from bark_jax.preparation.models import ModelSource, codec_sha256, text_ids, token_spec
from bark_jax.preparation.semantic_choice import SemanticSettings, choose_source, train_here
from bark_jax.preparation.semantic_sources import SemanticSource, Sound
from bark_jax.preparation.semantic_tokenizers import load_tokenizer, save_tokenizer
from bark_jax.preparation.shard_builder import Chunk, ShardBuilder, plan_chunks
from bark_jax.runtime.progress import work_bar
from bark_jax.sources.resolve import resolve_model

TOKENIZER_DIR = "semantic_tokenizer"  # of the data, if it was trained on them


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipLimits:
    """See `ClipSettings`."""

    min_s: float = 0.1
    max_s: float = 15.0
    trim_db: float | None = 40.0
    margin_s: float = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareSettings:
    """What `bark-jax prepare-data` does."""

    manifest: str  # list of recordings, .jsonl or .csv; see `corpus.read_corpus`
    out: str
    model: ModelSource
    semantic: SemanticSettings
    clip: ClipLimits = ClipLimits()
    eval_share: float = 0.02
    keep_audio: bool = True  # needed to train the codec, and for samples beside the original
    chunk_rows: int = 256  # recordings per shard
    workers: int | None = None  # processes that read audio; None: one per core; 0: none apart
    batch_s: float = 32.0  # audio that the encoder gets at a time

    def __post_init__(self) -> None:
        if self.batch_s <= 0:
            raise ValueError(f"batch_s={self.batch_s} is not more than 0")


def prepare(settings: PrepareSettings) -> Manifest:
    """Writes a directory of training data. The same call resumes where a killed one stopped.

    The result does not depend on `workers`.

    Raises:
      OSError: a file cannot be read or written, or the disk is full; what is finished stays.
      ValueError: a setting is out of its range, or there is nothing to prepare.
    """
    corpus = read_corpus(Path(settings.manifest).expanduser())
    if corpus.unused_fields:
        print(f"columns without a use: {', '.join(corpus.unused_fields)}", file=sys.stderr)
    chunks = plan_chunks(
        {utterance.id: utterance for utterance in corpus.utterances},
        eval_share=settings.eval_share,
        chunk_rows=settings.chunk_rows,
    )
    model = resolve_model(settings.model.source)
    bark = Bark.from_pretrained(model)
    clip = ClipSettings(sample_rate=bark.sample_rate, **dataclasses.asdict(settings.clip))
    phones = load_source(model).get("phones", ())
    source, facts = choose_source(settings.semantic, corpus.utterances, bark.config.tokens, phones)
    builder = ShardBuilder(Path(settings.out).expanduser(), _facts(settings, corpus, bark, facts))
    with builder, ClipReader(clip, settings.workers) as reader:
        if (manifest := builder.finished()) is not None:
            return manifest
        if source is None:
            source = _trained_source(builder, chunks, settings, reader, bark)
        todo = builder.todo(chunks)
        _write_chunks(builder, todo, reader, source, bark, settings)
        spec = dataclasses.replace(token_spec(bark), semantic_vocab_size=source.vocab_size)
        bark.runner.tokenizer.save(Path(settings.out).expanduser() / "tokenizer")
        return builder.complete(chunks, spec, corpus.skipped)


def _write_chunks(
    builder: ShardBuilder,
    todo: Sequence[Chunk[Utterance]],
    reader: ClipReader,
    source: SemanticSource,
    bark: Bark,
    settings: PrepareSettings,
) -> None:
    begin, made_s = time.perf_counter(), 0.0
    total = sum(len(chunk.rows) for chunk in todo)
    with work_bar(total, "row") as bar:
        read = reader.read([chunk.rows for chunk in todo], source)
        for chunk, clips in zip(todo, read, strict=True):
            results = _make_records(chunk.rows, clips, bark, settings, bar.update)
            builder.finish(chunk, results)
            made_s += sum(len(each.audio) for each in clips if isinstance(each, ReadClip)) / (
                bark.sample_rate
            )
            rate = made_s / (time.perf_counter() - begin)
            bar.set_postfix_str(f"{made_s:.0f} s of audio, {rate:.1f} a second")


def _make_records(
    rows: Sequence[Utterance],
    clips: Sequence[ReadClip | Skipped],
    bark: Bark,
    settings: PrepareSettings,
    report: Callable[[int], object],
) -> list[Record | Skipped]:
    """One result per row."""
    results: dict[int, Record | Skipped] = {}
    good: list[tuple[int, ReadClip, np.ndarray]] = []
    for i, (row, clip) in enumerate(zip(rows, clips, strict=True)):
        try:
            if isinstance(clip, Skipped):
                results[i] = clip
            else:
                _check_length(clip, bark)
                good.append((i, clip, text_ids(bark, row.text)))
        except ValueError as error:
            results[i] = Skipped(row.id, str(error))
    report(len(results))
    audio = [restore_audio(clip.audio) for _, clip, _ in good]
    for encoded, codes in encode_clips(bark, audio, settings.batch_s):
        for k, codes_QT in zip(encoded, codes, strict=True):
            i, clip, ids = good[k]
            kept = audio[k] if settings.keep_audio else None
            row = rows[i]
            assert clip.semantic is not None
            results[i] = Record(row.id, row.text, row.speaker, ids, clip.semantic, codes_QT, kept)
        report(len(encoded))
    return [results[i] for i in range(len(rows))]


def _check_length(clip: ReadClip, bark: Bark) -> None:
    most = bark.config.tokens.max_semantic_tokens
    if clip.semantic is not None and len(clip.semantic) > most:
        raise ValueError(f"it has {len(clip.semantic)} semantic tokens, the model makes {most}")


def _facts(
    settings: PrepareSettings, corpus: Corpus, bark: Bark, semantic: dict[str, Any]
) -> dict[str, Any]:
    """What the records depend on."""
    return {
        "program": "prepare_data/1",
        "corpus_sha256": corpus.sha256,
        "codec_sha256": codec_sha256(bark),
        "text_vocab_sha256": bark.runner.tokenizer.sha256,
        "semantic": semantic,
        "clip": dataclasses.asdict(settings.clip),
        "eval_share": settings.eval_share,
        "keep_audio": settings.keep_audio,
        "chunk_rows": settings.chunk_rows,
        "batch_s": settings.batch_s,
    }


def _trained_source(
    builder: ShardBuilder,
    chunks: Sequence[Chunk[Utterance]],
    settings: PrepareSettings,
    reader: ClipReader,
    bark: Bark,
) -> Sound:
    """The tokenizer trained by this run, or by the one that it resumes."""
    folder = builder.kept(TOKENIZER_DIR)
    if not folder.is_dir():
        rows = [row for chunk in chunks if chunk.split == "train" for row in chunk.rows]
        layout = bark.config.tokens
        made = train_here(settings.semantic, rows, reader, bark.sample_rate, layout)
        save_tokenizer(folder, made)
    return Sound(load_tokenizer(folder))
