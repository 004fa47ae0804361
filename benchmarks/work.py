"""The least that a stage has to do (steps, bytes to read, operations), and the roofline from that.

All peers are held against the same figures, those of the algorithm: every weight of the layers is
read once per step, of the head only the rows that are scored, of the cache what is filled. A peer
that reads or computes more than that shows a lower rate.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from bark_jax.config import BarkConfig, CodecConfig, FineGPTConfig, GPTConfig, TokenLayout
from benchmarks.settings import SIZES

ITEM_BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}


@dataclasses.dataclass(frozen=True)
class Formats:
    """Number formats of a peer: of products, and of the matrices, keys and values that it reads."""

    dtype: str
    weights: str
    cache: str

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> "Formats":
        """From `Peer.about`."""
        dtype = about["dtype"]
        return cls(dtype, *(about.get(part) or dtype for part in ("weights", "cache")))


@dataclasses.dataclass(frozen=True)
class Work:
    """The work of one run of one stage."""

    tokens: int  # made, of all rows together
    steps: int  # calls of the model one after the other
    read_bytes: int = 0  # weights and cache; 0 where memory is not what bounds the stage
    operations: int = 0  # additions and multiplications; 0 where they are not counted

    def least_s(self, bytes_per_s: float, operations_per_s: float) -> float:
        """The roofline: the time that memory or arithmetic needs, whichever is longer."""
        return max(self.read_bytes / bytes_per_s, self.operations / operations_per_s)


@dataclasses.dataclass(frozen=True)
class Task:
    """The same work for all peers: `rows` texts, each made into the same number of tokens."""

    config: BarkConfig
    n_semantic: int
    rows: int = 1

    @property
    def n_coarse(self) -> int:
        """Coarse tokens of one row, all codebooks together."""
        layout = self.config.tokens
        frames = int(self.n_semantic * layout.coarse_per_semantic / layout.n_coarse_codebooks)
        return frames * layout.n_coarse_codebooks

    @property
    def n_frames(self) -> int:
        return self.n_coarse // self.config.tokens.n_coarse_codebooks

    @property
    def audio_s(self) -> float:
        """Seconds of audio of all rows together."""
        return self.rows * self.n_frames / float(self.config.codec.frame_rate_hz)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """What every peer must return from each stage: proof that it did this work."""
        layout, rows = self.config.tokens, self.rows
        return {
            "semantic_prefill": (rows, 1),
            "semantic": (rows, self.n_semantic),
            "coarse_prefill": (rows, layout.n_coarse_codebooks, 1),
            "coarse": (rows, layout.n_coarse_codebooks, self.n_frames),
            "fine": (rows, layout.n_fine_codebooks, self.n_frames),
            "codec": (rows, self.n_frames * self.config.codec.hop_length),
        }

    def work(self, formats: Formats) -> dict[str, Work]:
        """The work by name of the stage, or of the part of a stage."""
        layout, rows = self.config.tokens, self.rows
        semantic, coarse, fine = self.config.semantic, self.config.coarse, self.config.fine
        n_ids, n_text = layout.semantic_vocab_size + 1, layout.text_length + 1
        n_codes, n_context = layout.codebook_size, layout.coarse_semantic_length + 1
        Q = layout.n_coarse_codebooks  # the shortest coarse run is one frame: a prefill, Q-1 steps
        to_frame = decode(coarse, n_codes, n_context + 1, Q - 1, rows, formats)
        return {
            "semantic_prefill": prefill(semantic, n_ids, n_text, rows),
            "semantic_decode": decode(
                semantic, n_ids, n_text + 1, self.n_semantic - 1, rows, formats
            ),
            "semantic": Work(rows * self.n_semantic, self.n_semantic),
            "coarse_prefill": prefill(coarse, n_codes, n_context, rows, to_frame.operations),
            "coarse_decode": decode(
                coarse, n_codes, n_context + Q, self.n_coarse - Q, rows, formats
            ),
            "coarse": Work(rows * self.n_coarse, self.n_coarse),
            "fine": fine_window(fine, layout, layout.n_fine_codebooks - Q, self.n_frames, rows),
            "codec": Work(rows * self.n_frames, 1),
            "total": Work(rows * self.n_frames, 1),
        }


def layer_values(cfg: GPTConfig) -> int:
    """Parameters of all layers: no embedding, no head."""
    per_layer = 12 * cfg.n_embd**2 + 2 * cfg.n_embd  # matrices, gains; these have no biases
    return cfg.n_layer * per_layer


def decode(
    cfg: GPTConfig, vocab_size: int, first_context: int, steps: int, rows: int, formats: Formats
) -> Work:
    """Steps of one token per row; the first one attends to `first_context` positions."""
    positions = steps * first_context + steps * (steps - 1) // 2  # seen, over all steps
    values = layer_values(cfg) + vocab_size * cfg.n_embd
    cache_values = 2 * cfg.n_layer * cfg.n_embd * positions * rows
    return Work(
        tokens=rows * steps,
        steps=steps,
        read_bytes=steps * values * ITEM_BYTES[formats.weights]
        + cache_values * ITEM_BYTES[formats.cache],
        operations=2 * rows * steps * values + 2 * cache_values,
    )


def prefill(cfg: GPTConfig, vocab_size: int, length: int, rows: int, more: int = 0) -> Work:
    """Reading prompts and scoring one token after each; a position sees those up to itself.

    Args:
      more: further operations, of all rows.
    """
    seen = length * (length + 1) // 2
    operations = 2 * layer_values(cfg) * length + 4 * cfg.n_layer * cfg.n_embd * seen
    operations += 2 * vocab_size * cfg.n_embd
    return Work(rows * length, 1, operations=rows * operations + more)


def fine_window(
    cfg: FineGPTConfig, layout: TokenLayout, passes: int, n_frames: int, rows: int
) -> Work:
    """One window per row: per codebook a pass of all positions, which all attend to each other."""
    length = layout.fine_window
    operations = 2 * layer_values(cfg) * length + 4 * cfg.n_layer * cfg.n_embd * length**2
    operations += 2 * layout.codebook_size * cfg.n_embd * length
    return Work(rows * passes * n_frames, passes, operations=rows * passes * operations)


def model_config(size: str) -> BarkConfig:
    """Bark's token layout and codec, at one of the published sizes or at a tiny one."""
    n_layer, n_head, n_embd = SIZES[size]
    shape: dict[str, Any] = {"n_layer": n_layer, "n_head": n_head, "n_embd": n_embd}
    return BarkConfig(
        semantic=GPTConfig(input_vocab_size=129_600, output_vocab_size=10_048, **shape),
        coarse=GPTConfig(input_vocab_size=12_096, output_vocab_size=12_096, **shape),
        fine=FineGPTConfig(input_vocab_size=1056, output_vocab_size=1056, **shape),
        codec=CodecConfig(),
    )
