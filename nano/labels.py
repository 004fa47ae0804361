"""Training data of the semantic stage: what flite says it spoke, without a look at the audio.

Recordings of one speaker are joined to up to ten seconds, so that every length is learnt alike, and
no place of the model's context goes unused.
"""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bark_jax.checkpoint import load_source
from bark_jax.data.manifest import Manifest
from bark_jax.data.records import Record
from bark_jax.pipeline import Bark
from bark_jax.preparation.corpus import Skipped, read_phones
from bark_jax.preparation.models import text_ids, token_spec
from bark_jax.preparation.semantic_features import n_tokens, token_times
from bark_jax.preparation.semantic_tokenizers import phone_tokens
from bark_jax.preparation.shard_builder import ShardBuilder, plan_chunks
from bark_jax.runtime.lines import read_lines

SHORTEST_S = 1.5  # of the lengths that are drawn
LONG_SHARE = 0.7  # of the groups fill at least LONG of that: little of a batch is padding then
LONG = 0.7
SAMPLES_PER_S = 16_000
EVAL_SHARE = 0.01


def write_labels(
    manifest: Path, model: Path, out: Path, *, longest_s: float, rounds: int, seed: int = 0
) -> Manifest:
    """Writes training data of a corpus for a model's semantic stage; made once.

    Args:
      longest_s: of what is joined.
      rounds: how often each recording occurs, every time among other neighbours.
    """
    rows = [json.loads(line) for line in read_lines(manifest)]
    bark = Bark.from_pretrained(model)
    names = load_source(model)["phones"]
    groups = {}
    for turn in range(rounds):
        rng = random.Random(f"{seed}/{turn}")
        for voice in sorted({row["speaker"] for row in rows}):
            mine = [row for row in rows if row["speaker"] == voice and _length_s(row) <= longest_s]
            for i, group in enumerate(_groups(mine, longest_s, rng)):
                groups[f"{turn}-{voice}-{i:06d}"] = group
    facts = {
        "program": "nano.labels/1",
        "longest_s": longest_s,
        "rounds": rounds,
        "seed": seed,
        "rows": len(rows),
    }
    facts["text_vocab_sha256"] = bark.runner.tokenizer.sha256
    chunks = plan_chunks(
        {name: (name, group) for name, group in groups.items()},
        eval_share=EVAL_SHARE,
        chunk_rows=2048,
    )
    with ShardBuilder(out, facts) as builder:
        if (made := builder.finished()) is not None:
            return made
        for chunk in builder.todo(chunks):
            builder.finish(chunk, [_record(bark, *row, names) for row in chunk.rows])
        return builder.complete(chunks, token_spec(bark))


def _groups(
    rows: list[dict[str, Any]], longest_s: float, rng: random.Random
) -> Iterator[list[dict[str, Any]]]:
    """All rows, in random order, in groups of random length."""
    rng.shuffle(rows)

    def draw_length() -> float:
        shortest_s = LONG * longest_s if rng.random() < LONG_SHARE else SHORTEST_S
        return rng.uniform(shortest_s, longest_s)

    group: list[dict[str, Any]] = []
    length_s, wanted_s = 0.0, draw_length()
    for row in rows:
        if group and length_s + _length_s(row) > wanted_s:
            yield group
            group, length_s, wanted_s = [], 0.0, draw_length()
        group.append(row)
        length_s += _length_s(row)
    if group:
        yield group


def _length_s(row: dict[str, Any]) -> float:
    return row["phones"][-1][1]


def _record(
    bark: Bark, name: str, group: Sequence[dict[str, Any]], names: Sequence[str]
) -> Record | Skipped:
    text, phones, begin_s = "", [], 0.0
    for row in group:
        text += row["text"] if row["text"][-1] in ".?!" else f"{row['text']}."
        text += " "
        phones += [(phone, begin_s + end_s) for phone, end_s in row["phones"]]
        begin_s = phones[-1][1]
    if len(group) == 1:
        text = group[0]["text"]
    layout = bark.config.tokens
    try:
        ids = text_ids(bark, text.strip())
    except ValueError as error:
        return Skipped(name, str(error))
    n = n_tokens(round(begin_s * SAMPLES_PER_S), SAMPLES_PER_S, layout.semantic_rate_hz)
    if n > layout.max_semantic_tokens:
        return Skipped(name, f"it has {n} semantic tokens")
    tokens = phone_tokens(read_phones(phones), token_times(n, layout.semantic_rate_hz), names)
    codes = np.zeros((layout.n_fine_codebooks, 0), np.int32)
    return Record(name, text.strip(), group[0]["speaker"], ids, tokens, codes)
