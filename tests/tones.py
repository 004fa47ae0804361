"""A language of tones: a data set in which every stage has something to learn.

A word is a string of letters; each letter is one tone. Semantic tokens spell the letters out, codes
follow from the semantic tokens, and the audio is the tones.
"""

from pathlib import Path

import numpy as np

from bark_jax.checkpoint import save_config, save_stage
from bark_jax.config import STAGES
from bark_jax.data.manifest import Manifest, TokenSpec, write_manifest
from bark_jax.data.records import Record, write_shards
from bark_jax.text import VOCAB_FILE, Tokenizer
from tests import tiny

LETTERS = "abcdef"
TOKENS_PER_LETTER = 3
L = tiny.LAYOUT


def write_model(directory: Path) -> Path:
    """`tests.tiny`'s model as a directory."""
    (directory / "tokenizer").mkdir(parents=True)
    (directory / "tokenizer" / VOCAB_FILE).write_text("\n".join(tiny.PIECES) + "\n")
    for stage in STAGES:
        save_stage(directory, stage, tiny.stage_params(stage))
    save_config(directory, tiny.CONFIG)
    return directory


def write_data(directory: Path, n_train: int = 64, n_eval: int = 16) -> Path:
    """Records of the tone language, for `tests.tiny`'s model."""
    directory.mkdir()
    rng = np.random.default_rng(0)
    tokenizer = Tokenizer({piece: index for index, piece in enumerate(tiny.PIECES)})
    tokenizer.save(directory / "tokenizer")
    shards = []
    for split, n in (("train", n_train), ("eval", n_eval)):
        shards += write_shards(directory, split, 0, [say(f"{split}{i}", rng) for i in range(n)])
    manifest = Manifest(
        spec=TokenSpec.of(tiny.CONFIG, tokenizer),
        settings={},
        counts={},
        n_skipped=0,
        shards=tuple(shards),
    )
    write_manifest(directory, manifest)
    return directory


def say(name: str, rng: np.random.Generator) -> Record:
    """A random word."""
    letters = rng.integers(len(LETTERS), size=rng.integers(3, 9))
    spelled = letters[:, None] * 2 + np.array([0, 0, 1])
    semantic = spelled.reshape(-1).astype(np.int32)
    n_frames = int(len(semantic) * L.coarse_rate_hz / L.semantic_rate_hz)
    at = (np.arange(n_frames) * len(semantic)) // n_frames
    q = np.arange(L.n_fine_codebooks)[:, None]
    codes = (7 * semantic[at][None] + 3 * q + np.arange(n_frames)[None] % 2) % L.codebook_size
    hop = tiny.CONFIG.codec.hop_length
    pitch_hz = 10 + 8 * np.repeat(letters[at * len(letters) // len(semantic)], hop)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / tiny.CONFIG.sample_rate
    text = "".join(LETTERS[i] for i in letters)
    tokenizer = Tokenizer({piece: index for index, piece in enumerate(tiny.PIECES)})
    return Record(
        id=name,
        text=text,
        speaker=str(rng.integers(2)),
        text_ids=np.asarray(tokenizer.encode(text), np.int32),
        semantic=semantic,
        codes=codes.astype(np.int32),
        audio=(0.5 * np.sin(phase)).astype(np.float32),
    )
