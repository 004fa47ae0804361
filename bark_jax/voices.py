"""Voices: the token history that a generation continues, checked, loaded and saved.

Source: suno-ai/bark @f4f32d4, bark/generation.py, _load_history_prompt and the checks at the top
of each stage; bark/api.py, save_as_prompt.
"""

import dataclasses
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bark_jax.config import TokenLayout
from bark_jax.runtime.files import replacing

KEYS = ("semantic_prompt", "coarse_prompt", "fine_prompt")
# what `voice_name` makes of a voice that is given as an object
UNNAMED = ("Generation", "LongGeneration", "Take", "Voice", "dict")
MOST_BYTES = 64 << 20  # of one array, unpacked: hours of speech


class VoiceError(ValueError, AssertionError):
    """A voice is unknown or unfit. (The original raises AssertionError for unfit voices.)"""


@dataclasses.dataclass(frozen=True, eq=False)
class Voice:
    """A checked history prompt: the same sound as semantic tokens, coarse and fine codes.

    `fine` covers the frames of `coarse` in every preset; as in the original, it may have another
    length, since each stage reads its own array.

    Attributes:
      semantic: (N,) int32.
      coarse: (Q_coarse, T) int32.
      fine: (Q_fine, T) int32.
      name: of the preset, or the path.
    """

    semantic: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray
    name: str

    def __repr__(self) -> str:
        n_frames = self.fine.shape[-1]
        return f"Voice({self.name!r}, {len(self.semantic)} semantic tokens, {n_frames} frames)"

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, Any], layout: TokenLayout, *, name: str = "voice"
    ) -> "Voice":
        """Checks the three arrays `semantic_prompt`, `coarse_prompt` and `fine_prompt`.

        Raises:
          VoiceError: a key is missing, or arrays have a wrong type, shape, range or length; all
            problems are named.
        """
        if absent := [key for key in KEYS if key not in arrays]:
            raise VoiceError(f"{name} lacks {', '.join(absent)}; it has {sorted(arrays)}")
        semantic, coarse, fine = (_whole(key, arrays[key]) for key in KEYS)
        n_coarse, n_fine = layout.n_coarse_codebooks, layout.n_fine_codebooks
        errors = [
            *_misfits(KEYS[0], semantic, None, layout.semantic_vocab_size),
            *_misfits(KEYS[1], coarse, n_coarse, layout.codebook_size),
            *_misfits(KEYS[2], fine, n_fine, layout.codebook_size),
        ] or _misaligned(semantic, coarse, layout)
        if errors:
            raise VoiceError(f"{name} is not a voice of this model: {'; '.join(errors)}")
        return cls(semantic.astype(np.int32), coarse.astype(np.int32), fine.astype(np.int32), name)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], layout: TokenLayout, *, name: str | None = None
    ) -> "Voice":
        """Reads an `.npz` in the original's format; `name` defaults to the path.

        Raises:
          FileNotFoundError: there is no such file.
          VoiceError: it is not a readable npz, holds pickled objects, or `from_arrays` refuses it.
        """
        path = Path(path).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"there is no voice file {path}")
        return cls.from_arrays(read_npz(path), layout, name=name or str(path))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes an `.npz` that the original and `load` read."""
        save_voice(path, self.semantic, self.coarse, self.fine)


def voice_name(voice: Any) -> str | None:
    """A voice argument for the record: its name or path, or what it is."""
    if voice is None or isinstance(voice, str):
        return voice
    return os.fspath(voice) if isinstance(voice, os.PathLike) else type(voice).__name__


def save_voice(
    path: str | os.PathLike[str], semantic: np.ndarray, coarse: np.ndarray, fine: np.ndarray
) -> None:
    """Writes the original's uncompressed `.npz`, atomically.

    Raises:
      VoiceError: `path` does not end in `.npz`, or an array could not be read back.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() != ".npz":
        raise VoiceError(f"a voice file must end in .npz, got {path}")
    arrays = list(map(_whole, KEYS, (semantic, coarse, fine)))
    for key, array, shape in zip(KEYS, arrays, ("(N,)", "(Q, T)", "(Q, T)"), strict=True):
        is_whole = np.issubdtype(array.dtype, np.integer)
        if not (is_whole and array.ndim == len(shape.split()) and array.size and array.min() >= 0):
            raise VoiceError(
                f"{key} has dtype {array.dtype} and shape {array.shape}, want whole numbers >= 0 "
                f"of shape {shape}, at least one"
            )
    with replacing(path) as partial, partial.open("xb") as file:
        np.savez(file, **dict(zip(KEYS, arrays, strict=True)))


def _whole(key: str, value: Any) -> np.ndarray:
    """An array; floats that are all whole as integers, anything else as it is."""
    try:
        array = np.asarray(value)
    except ValueError as error:  # lists of different lengths
        raise VoiceError(f"{key} is no array: {error}") from error
    if not np.issubdtype(array.dtype, np.floating):
        return array
    wide = array.astype(np.float64)
    is_whole = np.all(np.abs(wide) < 2**53) and np.all(wide == np.rint(wide))
    return wide.astype(np.int64) if is_whole else array


def _misfits(key: str, array: np.ndarray, n_rows: int | None, limit: int) -> list[str]:
    """Problems of one array, whose values must be in [0, limit); `n_rows` None: one dimension."""
    want = f"({n_rows}, T)" if n_rows else "(N,)"
    if not np.issubdtype(array.dtype, np.integer):
        return [f"{key} has dtype {array.dtype}, want integers"]
    if array.ndim != (2 if n_rows else 1) or (n_rows and array.shape[0] != n_rows):
        return [f"{key} has shape {array.shape}, want {want}"]
    if not array.size:
        return [f"{key} is empty"]
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= limit:
        return [f"{key} holds {low} … {high}, want 0 … {limit - 1}"]
    return []


def _misaligned(semantic: np.ndarray, coarse: np.ndarray, layout: TokenLayout) -> list[str]:
    """The original's rule: frames per semantic token must be right to one decimal (Bark: 1.5)."""
    got = coarse.shape[1] / len(semantic)
    want = float(layout.coarse_per_semantic / layout.n_coarse_codebooks)
    if round(got, 1) == round(want, 1):
        return []
    return [
        f"coarse_prompt has {coarse.shape[1]} frames for {len(semantic)} semantic tokens: "
        f"{got:.2f} each, want {want:.1f}"
    ]


def read_npy(path: Path) -> np.ndarray:
    """One array of a voice, from an `.npy` of its own.

    Raises:
      VoiceError: it is not an array, is cut off, pickled, or larger than `MOST_BYTES`.
    """
    try:
        mapped = np.load(path, allow_pickle=False, mmap_mode="r")  # reads the header only
        if not isinstance(mapped, np.ndarray):
            raise ValueError("it is an archive")
        if mapped.nbytes > MOST_BYTES:
            raise ValueError(f"it holds {mapped.nbytes / 1e6:,.0f} MB")
        return np.array(mapped)
    except Exception as error:
        raise VoiceError(f"{path} is not a readable array (.npy): {error}") from error


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The three arrays of a voice file; whatever else the file holds is not read.

    Raises:
      VoiceError: it is not an npz, or one of the three is damaged, pickled, or unfolds to more than
        `MOST_BYTES`; names the entry.
    """
    if not zipfile.is_zipfile(path):
        raise VoiceError(f"{path} is not a voice file (.npz), or it is cut off")
    arrays, key = {}, "the list of entries"
    try:
        with zipfile.ZipFile(path) as archive, np.load(path, allow_pickle=False) as loaded:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
            for key in (key for key in KEYS if key in loaded.files):
                if (size := sizes.get(f"{key}.npy", 0)) > MOST_BYTES:
                    raise ValueError(f"it unfolds to {size / 1e6:,.0f} MB")
                arrays[key] = loaded[key]
    except Exception as error:
        raise VoiceError(f"{path} is not a readable voice file (.npz): {key}: {error}") from error
    return arrays
