"""The result of one row of `Bark.generate`."""

import dataclasses
import os
from collections.abc import Mapping
from textwrap import shorten
from typing import Any

import numpy as np

from bark_jax import __version__
from bark_jax.audio_files import AudioWriter, check_name, sidecar_of, write_sidecar
from bark_jax.hooks.trace import Trace
from bark_jax.player import player
from bark_jax.runtime.files import replacing
from bark_jax.voices import save_voice

NAMELESS = ("dict", "Voice", "Generation")  # recorded in place of a voice that has no name


@dataclasses.dataclass(frozen=True, eq=False)
class Generation:
    """Audio, every intermediate, and what is needed to make it again.

    Attributes:
      audio: (S,) float32 at `sample_rate`, not clipped.
      sample_rate: of the audio [Hz].
      semantic: semantic tokens (N,) int32.
      coarse: coarse codes (2, T) int32.
      fine: all codes (8, T) int32; its first two rows are `coarse`.
      text: what was asked for.
      seed: of this row.
      finish_reason: of the semantic stage: "eos" (by itself), "max_duration" or "max_tokens";
        or "cancelled", where a caller has ended the row in some stage, see `Block`.
      timings: wall-clock time [s] of each stage, "semantic", "coarse", "fine" and "codec". It is
        that of the whole batch that the row was in, equal for all its rows, and includes compiling
        where a shape is seen for the first time.
      settings: name of the voice, sampling values and kinds of edits of the row, as plain data.
      origin: the model's name, hashes, number format and platform, as plain data.
      trace: what was asked to be kept while tokens were drawn; no file has it.
    """

    audio: np.ndarray
    sample_rate: int
    semantic: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray
    text: str
    seed: int
    finish_reason: str
    timings: dict[str, float]
    settings: dict[str, Any]
    origin: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    trace: Trace = dataclasses.field(default_factory=Trace)

    def __repr__(self) -> str:
        return (
            f"Generation({shorten(self.text, 60, placeholder=' …')!r}, {self.duration_s:.2f} s at "
            f"{self.sample_rate} Hz, voice={self.settings.get('voice')!r}, seed={self.seed}, "
            f"finish_reason={self.finish_reason!r})"
        )

    def _repr_html_(self) -> str:
        """In a notebook: a player, the waveform, the settings; nothing is fetched."""
        sampling = self.settings.get("sampling", {})
        return player(
            self.audio,
            self.sample_rate,
            title=self.text,
            facts=[
                f"voice {self.settings.get('voice')}",
                f"seed {self.seed}",
                f"{self.duration_s:.2f} s at {self.sample_rate} Hz",
                f"{len(self.semantic)} semantic tokens",
                f"ended by {self.finish_reason}",
            ],
            details={
                stage: ", ".join(f"{n} {v}" for n, v in values.items() if v not in (None, []))
                for stage, values in sampling.items()
            },
        )

    @property
    def duration_s(self) -> float:
        """Length of the audio [s]."""
        return len(self.audio) / self.sample_rate

    def metadata(self) -> dict[str, Any]:
        """What `save` writes into the file: text, seed, settings, model; plain data."""
        return {
            "text": self.text,
            "seed": self.seed,
            "finish_reason": self.finish_reason,
            **self.settings,
            "made_by": dict(self.origin),
            "bark_jax": __version__,
        }

    def save(self, path: str | os.PathLike[str], *, bits: int | None = None) -> None:
        """Writes `.wav`, `.flac`, `.ogg` (Vorbis), `.opus` or `.mp3`, with `metadata` as comment.

        Where they are too long for the format's comment, they stand whole in `NAME.json` beside
        the file.

        Args:
          bits: a sample: 16, 24 or 32 (float) of a WAV, 16 or 24 of a FLAC. None: 32 and 24.
        Raises:
          ValueError: another suffix, or bits that the format lacks.
          OSError: it cannot be written, or the format lacks the sample rate.
        """
        path = check_name(path, bits)
        with (
            replacing(path) as partial,
            AudioWriter(
                partial,
                self.sample_rate,
                self.metadata(),
                suffix=path.suffix,
                bits=bits,
                sidecar=sidecar_of(path).name,
            ) as writer,
        ):
            writer.write(self.audio)
        write_sidecar(path, self.metadata())

    def save_voice(self, path: str | os.PathLike[str]) -> None:
        """Writes the tokens as a history prompt, in the original's `.npz` format."""
        save_voice(path, self.semantic, self.coarse, self.fine)


def voice_of(made: Generation, voice: Any) -> Any:
    """`voice`, or where it is None the name of the one that a generation was made with.

    Raises:
      ValueError: that one has no name.
    """
    if voice is None and (voice := made.settings["voice"]) in NAMELESS:
        raise ValueError(f"voice=None, but the generation was made with a {voice}: want that")
    return voice
