"""What a directory of training data holds: `manifest.json`, written last, completes it."""

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from bark_jax.config import BarkConfig, from_dict, to_dict
from bark_jax.params import Params
from bark_jax.runtime.files import read_json, write_json
from bark_jax.runtime.hashes import sha256_of
from bark_jax.text import Tokenizer

FORMAT = "bark_jax_data/1"
MANIFEST_FILE = "manifest.json"
SPLITS = ("train", "eval")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenSpec:
    """What the numbers of a record mean: a model can learn only from data of its own kind."""

    sample_rate: int  # of the audio [Hz]
    n_codebooks: int
    codebook_size: int
    frame_rate_hz: Fraction
    semantic_vocab_size: int  # of the tokens' source; a model may have room for more
    semantic_rate_hz: Fraction
    text_vocab_sha256: str
    codebooks_sha256: str | None = None  # of the vectors that codes stand for; None fits any

    @classmethod
    def of(cls, cfg: BarkConfig, tokenizer: Tokenizer, codec: Params | None = None) -> "TokenSpec":
        """The spec of a model; given the codec's parameters, it covers what codes stand for too."""
        return cls(
            sample_rate=cfg.sample_rate,
            n_codebooks=cfg.tokens.n_fine_codebooks,
            codebook_size=cfg.tokens.codebook_size,
            frame_rate_hz=cfg.tokens.coarse_rate_hz,
            semantic_vocab_size=cfg.tokens.semantic_vocab_size,
            semantic_rate_hz=cfg.tokens.semantic_rate_hz,
            text_vocab_sha256=tokenizer.sha256,
            codebooks_sha256=None if codec is None else _codebooks_sha256(codec),
        )

    def check_fits(self, model: "TokenSpec") -> None:
        """Raises ValueError, naming all that differs, if a model cannot learn from such data."""
        theirs = dataclasses.asdict(model)
        errors = [
            f"{name} is {value} in the data, {theirs[name]} in the model"
            for name, value in dataclasses.asdict(self).items()
            if not _fits(name, value, theirs[name])
        ]
        if errors:
            raise ValueError(
                "the data were not prepared for this model: " + "; ".join(errors) + ". Prepare "
                "them again with this model as model.source"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
    """One file of records."""

    file: str
    split: str  # "train" or "eval"
    kind: str  # "tokens" or "audio": the same records in the same order
    n_records: int
    n_bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path, split: str, kind: str, n_records: int) -> "Shard":
        """Describes a finished file."""
        return cls(
            file=path.name,
            split=split,
            kind=kind,
            n_records=n_records,
            n_bytes=path.stat().st_size,
            sha256=sha256_of(path),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of `manifest.json`."""

    spec: TokenSpec
    settings: Mapping[str, Any]  # of the program that wrote the data
    counts: Mapping[str, Mapping[str, float]]  # split -> n_records, audio_s, … ; sums
    n_skipped: int
    shards: tuple[Shard, ...]

    @property
    def has_audio(self) -> bool:
        return any(shard.kind == "audio" for shard in self.shards)

    def files(self, split: str, kind: str) -> list[Shard]:
        """The shards of one kind in the order of their records."""
        return [s for s in self.shards if (s.split, s.kind) == (split, kind)]

    def n_records(self, split: str) -> int:
        return sum(shard.n_records for shard in self.files(split, "tokens"))


def _fits(name: str, ours: Any, theirs: Any) -> bool:
    if name == "semantic_vocab_size":
        return ours <= theirs
    if name == "codebooks_sha256" and (ours is None or theirs is None):
        return True
    return ours == theirs


def _codebooks_sha256(codec: Params) -> str:
    """A hash that training the decoder alone keeps, and training the whole codec changes."""
    vectors_QVL = np.asarray(codec["quantizer"]["embed"], np.float32)
    return hashlib.sha256(vectors_QVL.tobytes()).hexdigest()


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Completes `directory`."""
    content = {
        "format": FORMAT,
        **to_dict(manifest),
        "shards": [to_dict(shard) for shard in manifest.shards],
    }
    write_json(directory / MANIFEST_FILE, content)


def read_manifest(directory: str | os.PathLike[str]) -> Manifest:
    """Reads `manifest.json` and checks that the files it lists are there in full.

    Raises:
      FileNotFoundError: no complete data here, or a file is missing.
      ValueError: the manifest is of another format or damaged, or a file has another length.
    """
    path = Path(directory).expanduser() / MANIFEST_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"data={str(directory)!r} holds no complete training data: it has no {MANIFEST_FILE}. "
            "`bark-jax prepare-data` or `bark-jax distill-data` writes it at its end"
        )
    content = read_json(path)
    if (found := content.pop("format", None)) != FORMAT:
        raise ValueError(f"{path} has format {found!r}; this version reads {FORMAT!r}")
    try:
        shards = tuple(from_dict(Shard, shard) for shard in content.pop("shards"))
        manifest = from_dict(Manifest, {**content, "shards": shards})
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    for shard in manifest.shards:
        _check_file(path.parent, shard)
    return manifest


def _check_file(directory: Path, shard: Shard) -> None:
    if Path(shard.file).name != shard.file:
        raise ValueError(
            f"{directory / MANIFEST_FILE} names {shard.file!r}, which is not a file name"
        )
    path = directory / shard.file
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing, but {MANIFEST_FILE} lists it")
    if (n_bytes := path.stat().st_size) != shard.n_bytes:
        raise ValueError(f"{path} has {n_bytes} bytes, but {MANIFEST_FILE} says {shard.n_bytes}")
