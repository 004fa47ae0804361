"""A stand-in for `Bark` that makes tones without compiling anything, for tests of what is around.

The frequency of its tone depends on the settings, and its length on the text.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bark_jax.checkpoint import save_config
from bark_jax.generation import Generation
from bark_jax.sampling_config import SamplingConfig
from tests.tiny import CONFIG, LAYOUT, PIECES

RATE = 8000


class Voices:
    """Knows one voice."""

    def resolve(self, voice: str | None) -> str | None:
        if voice not in (None, "alto"):
            raise ValueError(f"voice {voice!r} not found")
        return voice


class FakeBark:
    """`generate` and `stream` with the real signatures; `calls` notes the batches."""

    def __init__(self) -> None:
        from bark_jax.text import Tokenizer

        self.config, self.voices = CONFIG, Voices()
        self.runner = type("Runner", (), {})()
        self.runner.tokenizer = Tokenizer({piece: i for i, piece in enumerate(PIECES)})
        self.calls: list[int] = []

    def generate(
        self, text: str, *, voice: Any, seed: int, sampling: Any, guidance: Any
    ) -> Generation:
        assert guidance is None
        SamplingConfig.of(sampling)
        self.voices.resolve(voice)
        self.calls.append(1)
        return tone(text, voice, seed, sampling)

    def stream(
        self,
        text: Sequence[str],
        *,
        voice: Sequence[Any],
        seed: Sequence[int],
        sampling: Any,
        guidance: Sequence[Any],
        batch_rows: int | None,
    ) -> Iterator[tuple[int, Generation]]:
        self.calls.append(len(text))
        for row in reversed(range(len(text))):  # rows end in any order
            values = {
                stage: {name: column[row] for name, column in fields.items()}
                for stage, fields in sampling.items()
            }
            yield row, tone(text[row], voice[row], seed[row], values)


def tone(text: str, voice: Any, seed: int, sampling: Any) -> Generation:
    """What every way of asking gives for these settings."""
    content = json.dumps([text, voice, seed, sampling], sort_keys=True)
    number = int(hashlib.sha256(content.encode()).hexdigest()[:4], 16)
    time_S = np.arange(RATE * (4 + len(text) % 3) // 8) / RATE
    audio = 0.3 * np.sin(2 * np.pi * (100 + number % 200) * time_S)
    tokens = np.arange(6, dtype=np.int32)
    return Generation(
        audio=audio.astype(np.float32),
        sample_rate=RATE,
        semantic=tokens + number % 7,
        coarse=np.stack([tokens] * LAYOUT.n_coarse_codebooks),
        fine=np.stack([tokens] * LAYOUT.n_fine_codebooks),
        text=text,
        seed=seed,
        finish_reason="eos",
        timings={"semantic": 0.5, "coarse": 0.25, "fine": 0.125, "codec": 0.125},
        settings={"voice": voice, "sampling": sampling},
    )


def write_empty_model(folder: Path) -> Path:
    """A folder that is taken for a model, without parameters."""
    folder.mkdir()
    save_config(folder, CONFIG, {})
    return folder
