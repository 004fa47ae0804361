"""Where the semantic tokens of an utterance come from: its arrays, its phones, or its sound."""

import dataclasses
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np

from bark_jax.preparation.clips import Clip
from bark_jax.preparation.corpus import Utterance
from bark_jax.preparation.semantic_features import n_tokens, token_times
from bark_jax.preparation.semantic_tokenizers import SemanticTokenizer, phone_tokens
from bark_jax.stages.checks import check_ids

TOLERANCE_S = 0.1  # by which a user's array may be shorter than its recording


class SemanticSource(Protocol):
    """Frozen, and small enough to send to worker processes."""

    @property
    def vocab_size(self) -> int: ...

    def tokens(self, utterance: Utterance, clip: Clip, sample_rate: int) -> np.ndarray:
        """Tokens (N,) int32 of the clip. ValueError or OSError: it has none, and why."""
        ...


@dataclasses.dataclass(frozen=True)
class Arrays:
    """The user's own arrays for whole recordings, cut to the part that the clip covers."""

    vocab_size: int
    rate_hz: Fraction

    def tokens(self, utterance: Utterance, clip: Clip, sample_rate: int) -> np.ndarray:
        if utterance.semantic is None:
            raise ValueError("it has no 'semantic', which semantic=arrays needs")
        whole = check_ids("semantic", _load_vector(utterance.semantic), self.vocab_size)
        begin = round(clip.begin_s * self.rate_hz)
        wanted = n_tokens(len(clip.audio), sample_rate, self.rate_hz)
        part = whole[begin : begin + wanted]
        if wanted - len(part) > max(1, TOLERANCE_S * self.rate_hz):
            raise ValueError(
                f"semantic has {len(whole)} tokens ({len(whole) / float(self.rate_hz):.2f} s), "
                f"the recording has sound up to "
                f"{clip.begin_s + len(clip.audio) / sample_rate:.2f} s"
            )
        return part


@dataclasses.dataclass(frozen=True)
class Phones:
    """The corpus's own time-stamped phones, in thirds."""

    names: tuple[str, ...]
    vocab_size: int
    rate_hz: Fraction

    def tokens(self, utterance: Utterance, clip: Clip, sample_rate: int) -> np.ndarray:
        if not utterance.phones:
            raise ValueError("it has no 'phones', which semantic=phones needs")
        n = n_tokens(len(clip.audio), sample_rate, self.rate_hz)
        times_s = clip.begin_s + token_times(n, self.rate_hz)
        if (late_s := times_s[-1] - utterance.phones[-1].end_s) > TOLERANCE_S:
            raise ValueError(f"its phones end {late_s:.2f} s before its sound")
        return phone_tokens(utterance.phones, times_s, self.names)


@dataclasses.dataclass(frozen=True)
class Sound:
    """The tokens that a tokenizer makes of the audio."""

    tokenizer: SemanticTokenizer

    @property
    def vocab_size(self) -> int:
        return self.tokenizer.vocab_size

    def tokens(self, utterance: Utterance, clip: Clip, sample_rate: int) -> np.ndarray:
        return self.tokenizer.encode(clip.audio, sample_rate)


def _load_vector(path: Path) -> np.ndarray:
    """The array (N,) in an .npy file."""
    try:
        # Mapped, so that a false header cannot make it allocate memory.
        array = np.load(path, allow_pickle=False, mmap_mode="r")
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"semantic: {path} is not an .npy file of numbers: {error}") from error
    if not isinstance(array, np.ndarray) or array.ndim != 1:
        raise ValueError(f"semantic has shape {getattr(array, 'shape', None)}, want (N,)")
    return array
