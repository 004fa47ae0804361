"""The result of one row of `Bark.generate`."""

import dataclasses
import json
import os
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np

from bark_jax import __version__
from bark_jax.runtime.files import replacing
from bark_jax.voices import save_voice

COMMENT_BYTES = 2000  # in a WAV file; libsndfile reads a comment of over 2047 bytes back as empty


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
      finish_reason: of the semantic stage: "eos" (by itself), "max_duration" or "max_tokens".
      timings: wall-clock time [s] of each stage, "semantic", "coarse", "fine" and "codec". It is
        that of the whole batch that the row was in, equal for all its rows, and includes compiling
        where a shape is seen for the first time.
      settings: name of the voice and sampling values of the row, as plain data.
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

    def __repr__(self) -> str:
        return (
            f"Generation({shorten(self.text, 60, placeholder=' …')!r}, {self.duration_s:.2f} s at "
            f"{self.sample_rate} Hz, voice={self.settings.get('voice')!r}, seed={self.seed}, "
            f"finish_reason={self.finish_reason!r})"
        )

    @property
    def duration_s(self) -> float:
        """Length of the audio [s]."""
        return len(self.audio) / self.sample_rate

    def metadata(self) -> dict[str, Any]:
        """What `save` writes into the file: text, seed, settings, version; plain data."""
        return {
            "text": self.text,
            "seed": self.seed,
            "finish_reason": self.finish_reason,
            **self.settings,
            "bark_jax": __version__,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a 32-bit float WAV with `metadata` as its JSON comment; a long text is cut there.

        Raises:
          ValueError: `path` does not end in `.wav`.
          OSError: it cannot be written.
        """
        import soundfile

        path = Path(path).expanduser()
        if path.suffix.lower() != ".wav":
            raise ValueError(f"path={str(path)!r} must end in .wav")
        try:
            with (
                replacing(path) as partial,
                soundfile.SoundFile(
                    partial, "w", self.sample_rate, channels=1, subtype="FLOAT", format="WAV"
                ) as file,
            ):
                _leave_out_the_time(file)
                file.comment = _json_within(self.metadata(), COMMENT_BYTES)
                file.write(self.audio)
        except soundfile.LibsndfileError as error:  # which does not give the reason
            raise OSError(f"cannot write {path}: {error} Is the disk full?") from error

    def save_voice(self, path: str | os.PathLike[str]) -> None:
        """Writes the tokens as a history prompt, in the original's `.npz` format."""
        save_voice(path, self.semantic, self.coarse, self.fine)


def _leave_out_the_time(file: Any) -> None:
    """Equal samples give equal files: by default libsndfile writes when it did so, to the second.

    The time stands in the PEAK chunk. python-soundfile has no name for the command that leaves the
    chunk out (sndfile.h, SFC_SET_ADD_PEAK_CHUNK), so this goes through its handles.
    """
    import soundfile

    handle, nothing = getattr(file, "_file"), getattr(soundfile, "_ffi").NULL  # noqa: B009
    getattr(soundfile, "_snd").sf_command(handle, 0x1050, nothing, 0)  # noqa: B009


def _json_within(metadata: dict[str, Any], limit: int) -> str:
    """JSON of at most `limit` bytes; if necessary, the text is cut and ends in an ellipsis."""
    content = json.dumps(metadata, ensure_ascii=False)
    if (excess := len(content.encode()) - limit) <= 0:
        return content
    ellipsis = "…"
    kept = metadata["text"].encode()[: -(excess + len(ellipsis.encode()))]
    cut = kept.decode(errors="ignore") + ellipsis
    return json.dumps({**metadata, "text": cut}, ensure_ascii=False)
