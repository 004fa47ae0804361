"""Audio to semantic tokens: tokenizers of our own, for models trained from scratch.

Suno never released the one that Bark was trained with, so none of these fits Bark's own weights.
A saved tokenizer is a directory: tokenizer.json (kind, sizes, features) and arrays.npz.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bark_jax.config import from_dict, to_dict
from bark_jax.preparation.corpus import Phone
from bark_jax.preparation.semantic_features import FeatureConfig, features, stack_context
from bark_jax.runtime.directories import replacing_directory
from bark_jax.runtime.files import read_json

FORMAT = "bark_jax_semantic_tokenizer/1"
CONFIG_FILE, ARRAYS_FILE = "tokenizer.json", "arrays.npz"
STATES_PER_PHONE = 3  # beginning, middle, end


class SemanticTokenizer(Protocol):
    """What `prepare_data` needs of a tokenizer."""

    @property
    def vocab_size(self) -> int: ...

    @property
    def rate_hz(self) -> Fraction: ...

    def encode(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """Tokens (N,) int32 in [0, vocab_size) of audio (S,), N = `n_tokens(S, …)`."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Scaling:
    """Makes features comparable: each of mean 0 and deviation 1 over the training data."""

    mean: np.ndarray  # (F,)
    std: np.ndarray  # (F,)

    @classmethod
    def of(cls, vectors: np.ndarray) -> "Scaling":
        """The scaling of vectors (N, F)."""
        return cls(vectors.mean(axis=0), np.maximum(vectors.std(axis=0), 1e-5))

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        return (vectors - self.mean) / self.std


@dataclasses.dataclass(frozen=True, eq=False)
class KMeansTokenizer:
    """A frame's token is the nearest of a set of centres."""

    config: FeatureConfig
    scaling: Scaling
    centres: np.ndarray  # (V, F) float32, of scaled and weighted features

    kind = "kmeans"

    @property
    def vocab_size(self) -> int:
        return len(self.centres)

    @property
    def rate_hz(self) -> Fraction:
        return self.config.rate_hz

    def encode(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        vectors = weighted(self.scaling(features(audio, sample_rate, self.config)), self.config)
        distance = np.square(self.centres).sum(axis=1) - 2 * vectors @ self.centres.T
        return distance.argmin(axis=1).astype(np.int32)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Settings and arrays, from which `load_tokenizer` restores the tokenizer."""
        arrays = {"mean": self.scaling.mean, "std": self.scaling.std, "centres": self.centres}
        return {"features": to_dict(self.config)}, arrays

    @classmethod
    def of_state(cls, settings: dict[str, Any], arrays: Any) -> "KMeansTokenizer":
        scaling = Scaling(arrays["mean"], arrays["std"])
        return cls(from_dict(FeatureConfig, settings["features"]), scaling, arrays["centres"])


@dataclasses.dataclass(frozen=True, eq=False)
class PhoneTokenizer:
    """A two-layer classifier of frames: which phone is sounding, and which third of it."""

    config: FeatureConfig
    scaling: Scaling
    phones: tuple[str, ...]  # token = STATES_PER_PHONE × index + third
    n_context: int  # frames seen on both sides
    states: np.ndarray  # (V,) int32, the token that each output stands for
    weights: tuple[np.ndarray, np.ndarray]  # (F', H), (H, V)
    biases: tuple[np.ndarray, np.ndarray]  # (H,), (V,)

    kind = "phones"

    @property
    def vocab_size(self) -> int:
        return STATES_PER_PHONE * len(self.phones)

    @property
    def rate_hz(self) -> Fraction:
        return self.config.rate_hz

    def encode(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        vectors = self.scaling(features(audio, sample_rate, self.config))
        inputs = stack_context(vectors, self.n_context)
        hidden = np.maximum(inputs @ self.weights[0] + self.biases[0], 0)
        return self.states[(hidden @ self.weights[1] + self.biases[1]).argmax(axis=1)]

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """As `KMeansTokenizer.state`."""
        settings = {
            "features": to_dict(self.config),
            "phones": list(self.phones),
            "n_context": self.n_context,
        }
        arrays = {"mean": self.scaling.mean, "std": self.scaling.std, "states": self.states}
        for i in range(2):
            arrays |= {f"weight_{i}": self.weights[i], f"bias_{i}": self.biases[i]}
        return settings, arrays

    @classmethod
    def of_state(cls, settings: dict[str, Any], arrays: Any) -> "PhoneTokenizer":
        return cls(
            from_dict(FeatureConfig, settings["features"]),
            Scaling(arrays["mean"], arrays["std"]),
            tuple(settings["phones"]),
            settings["n_context"],
            arrays["states"],
            (arrays["weight_0"], arrays["weight_1"]),
            (arrays["bias_0"], arrays["bias_1"]),
        )


KINDS = {"kmeans": KMeansTokenizer, "phones": PhoneTokenizer}


def weighted(vectors: np.ndarray, cfg: FeatureConfig) -> np.ndarray:
    """Scaled features as k-means weighs them: loudness less than the shape, slopes more."""
    weights = np.ones(cfg.n_features, np.float32)
    weights[0] = 0.5
    weights[cfg.n_mfcc :] = 1.5
    return vectors * weights


def phone_tokens(phones: Sequence[Phone], times_s: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Tokens (N,) int32 of a reference alignment at times (N,); after its end the last phone's.

    Raises:
      ValueError: there are no phones, or one is not among `names`.
    """
    if not phones:
        raise ValueError("it has no phones")
    index = {name: i for i, name in enumerate(names)}
    if unknown := sorted({phone.name for phone in phones} - index.keys()):
        raise ValueError(f"its phones {unknown} are none of the tokenizer's {len(names)}")
    ends = np.array([phone.end_s for phone in phones])
    begins = np.array([phone.begin_s for phone in phones])
    at = np.minimum(np.searchsorted(ends, times_s, side="right"), len(phones) - 1)
    share = (times_s - begins[at]) / (ends - begins)[at]
    third = np.clip((share * STATES_PER_PHONE).astype(np.int32), 0, STATES_PER_PHONE - 1)
    first = np.array([index[phone.name] for phone in phones]) * STATES_PER_PHONE
    return (first[at] + third).astype(np.int32)


def save_tokenizer(directory: Path, tokenizer: KMeansTokenizer | PhoneTokenizer) -> None:
    """Writes a new directory; a run that is killed leaves none.

    Raises:
      FileExistsError: `directory` is there already.
    """
    if directory.exists():
        raise FileExistsError(f"{directory} is there already")
    with replacing_directory(directory) as partial:
        settings, arrays = tokenizer.state()
        np.savez(partial / ARRAYS_FILE, allow_pickle=False, **arrays)
        content = {"format": FORMAT, "kind": tokenizer.kind, **settings}
        (partial / CONFIG_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def load_tokenizer(directory: Path) -> KMeansTokenizer | PhoneTokenizer:
    """Reads a saved tokenizer; nothing in it can run code.

    Raises:
      FileNotFoundError: there is none.
      ValueError: it is of another format, or damaged.
    """
    path = directory / CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{directory} is not a semantic tokenizer: it has no {CONFIG_FILE}")
    try:
        settings = read_json(path)
        if (found := settings["format"]) != FORMAT:
            raise ValueError(f"it has format {found!r}; this version reads {FORMAT!r}")
        with np.load(directory / ARRAYS_FILE, allow_pickle=False) as arrays:
            return KINDS[settings["kind"]].of_state(settings, arrays)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ValueError(f"cannot read the semantic tokenizer {directory}: {error}") from error


def tokenizer_sha256(tokenizer: KMeansTokenizer | PhoneTokenizer) -> str:
    """Tells one tokenizer from another."""
    settings, arrays = tokenizer.state()
    digest = hashlib.sha256(json.dumps([tokenizer.kind, settings], sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(f"{name}{arrays[name].dtype}{arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()
