"""A stand-in for `Bark` that compiles nothing: its "speech" is noise of the right length.

`FAULTS` lets chosen pieces go wrong, one entry per try; later tries are good.
"""

import hashlib
import types
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bark_jax.config import TokenLayout
from bark_jax.generation import Generation
from bark_jax.long.run import LongGeneration, generate_long
from bark_jax.long.seconds import seconds_of
from bark_jax.sampling_config import BARK
from bark_jax.text import Tokenizer
from tests.tiny import PIECES

RATE = 8000
LETTERS = dict.fromkeys([*PIECES, *"0123456789.,!?:♪—'", *"abcdefghijklmnopqrstuvwxyz"])


class Voices:
    """Voices are generations here; names have tokens of their own."""

    def resolve(self, voice: Any) -> Any:
        return FakeModel().say(voice, None, 0, 0, None) if isinstance(voice, str) else voice


class FakeModel:
    """What `generate_long` needs of `Bark`; `calls` notes (texts, voices, seeds, sampling)."""

    def __init__(
        self, faults: dict[str, list[str]] | None = None, *, batch_rows: int = 2, rate: float = 15.0
    ) -> None:
        self.faults, self.batch_rows, self.rate = faults or {}, batch_rows, rate
        self.voices, self.sampling = Voices(), BARK
        self.config: Any = types.SimpleNamespace(tokens=TokenLayout(), sample_rate=RATE)
        tokenizer = Tokenizer({piece: i for i, piece in enumerate(LETTERS)})
        origin = {"model": "fake", "jax": "0"}
        self.runner: Any = types.SimpleNamespace(tokenizer=tokenizer, origin=origin)
        self.calls: list[dict[str, Any]] = []
        self.stop_after: int | None = None  # rows, and then Ctrl-C

    def stream(
        self,
        text: Sequence[str],
        *,
        voice: Sequence[Any],
        seed: Sequence[int],
        sampling: dict[str, Any],
        batch_rows: int,
    ) -> Iterator[tuple[int, Generation]]:
        self.calls.append({"text": text, "voice": voice, "seed": seed, "sampling": sampling})
        for row in reversed(range(len(text))):  # rows end in any order
            if self.stop_after is not None:
                self.stop_after -= 1
                if self.stop_after < 0:
                    raise KeyboardInterrupt
            yield row, self.say(text[row], voice[row], seed[row], row, sampling)

    def generate_long(self, text: Any, **options: Any) -> LongGeneration:
        return generate_long(self, text, **options)

    def say(self, text: str, voice: Any, seed: int, row: int, sampling: Any) -> Generation:
        """What every way of asking gives; the voice is heard in the noise."""
        n_before = seed >> 40
        wrong = self.faults.get(text, [])
        fault = wrong[n_before] if n_before < len(wrong) else ""
        history = b"" if voice is None else voice.semantic.tobytes()
        number = hashlib.sha256(f"{text} {seed}".encode() + history).digest()
        rng = np.random.default_rng(list(number))
        duration_s = max(0.6, seconds_of(text, self.rate))
        duration_s *= {"short": 0.2, "endless": 2.5}.get(fault, 1.0)
        audio = rng.normal(0, 0.1, round(duration_s * RATE)).astype(np.float32)
        n_tokens = int(duration_s * 49.9)
        semantic = rng.integers(0, 10_000, n_tokens).astype(np.int32)
        if fault == "silent":
            audio *= 0
        if fault == "pauses":
            audio[len(audio) // 8 : -len(audio) // 8] *= 0
        if fault == "clipped":
            audio = np.sign(audio)
        if fault == "again":
            semantic = np.resize(semantic[:20], n_tokens)
        quiet = np.zeros(RATE // 2, np.float32)
        return Generation(
            audio=np.concatenate([quiet, audio, quiet]) if fault != "pauses" else audio,
            sample_rate=RATE,
            semantic=semantic,
            coarse=np.zeros((2, int(n_tokens * 75 / 49.9)), np.int32),
            fine=np.zeros((8, int(n_tokens * 75 / 49.9)), np.int32),
            text=text,
            seed=seed,
            finish_reason="max_duration" if fault == "endless" else "eos",
            timings={},
            settings={},
        )
