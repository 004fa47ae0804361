"""From the settings to the source of semantic tokens; trains a k-means tokenizer if need be."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bark_jax.config import TokenLayout
from bark_jax.data.pcm import restore_audio
from bark_jax.preparation.clip_reader import ClipReader
from bark_jax.preparation.corpus import Utterance
from bark_jax.preparation.semantic_features import FeatureConfig
from bark_jax.preparation.semantic_sources import Arrays, Phones, SemanticSource, Sound
from bark_jax.preparation.semantic_tokenizers import (
    STATES_PER_PHONE,
    KMeansTokenizer,
    PhoneTokenizer,
    load_tokenizer,
    tokenizer_sha256,
)
from bark_jax.preparation.semantic_training import phone_names, train_kmeans

KINDS = ("arrays", "kmeans", "phones", "tokenizer")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SemanticSettings:
    """Where semantic tokens come from.

    "arrays": the corpus's own .npy files. "kmeans": a tokenizer trained here, or a saved one.
    "phones": the corpus's own time-stamped phones; the model says which token stands for which, or
    else it follows from those that occur. "tokenizer": any saved tokenizer.
    """

    kind: str = "kmeans"
    tokenizer: str | None = None  # directory; with kind "phones" it gives only the list of phones
    train_s: float = 3600.0  # audio that a new k-means tokenizer is trained on
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"semantic.kind={self.kind!r} is not one of {KINDS}")
        if self.kind == "arrays" and self.tokenizer:
            raise ValueError("semantic=arrays takes no semantic.tokenizer")
        if self.kind == "tokenizer" and not self.tokenizer:
            raise ValueError("semantic=tokenizer needs semantic.tokenizer=DIR")
        if self.train_s <= 0:
            raise ValueError(f"semantic.train_s={self.train_s} is not more than 0")


def choose_source(
    settings: SemanticSettings,
    utterances: Sequence[Utterance],
    layout: TokenLayout,
    phones: Sequence[str] = (),
) -> tuple[SemanticSource | None, dict[str, Any]]:
    """The source of semantic tokens, None if it has to be trained first, and what it depends on.

    Args:
      phones: those that the model's tokens are thirds of; () if it names none.
    Raises:
      FileNotFoundError, ValueError: the tokenizer cannot be read, or does not fit the layout.
    """
    rate_hz, room = layout.semantic_rate_hz, layout.semantic_vocab_size
    saved = load_tokenizer(Path(settings.tokenizer).expanduser()) if settings.tokenizer else None
    facts: dict[str, Any] = {"kind": settings.kind}
    if saved is not None:
        _check_tokenizer(saved, settings, layout)
        facts["tokenizer_sha256"] = tokenizer_sha256(saved)
    if settings.kind == "arrays":
        return Arrays(room, rate_hz), facts
    if settings.kind == "phones":
        occurring = phone_names([utterance.phones for utterance in utterances])
        names = saved.phones if isinstance(saved, PhoneTokenizer) else tuple(phones) or occurring
        facts["phones"] = list(names)
        if not occurring:
            raise ValueError("semantic=phones: no row of the manifest has 'phones'")
        if (vocab_size := STATES_PER_PHONE * len(names)) > room:
            raise ValueError(
                f"{len(names)} phones make {vocab_size} tokens; the model has room for {room}"
            )
        return Phones(names, vocab_size, rate_hz), facts
    if saved is not None:
        return Sound(saved), facts
    return None, {**facts, "train_s": settings.train_s, "seed": settings.seed, "room": room}


def train_here(
    settings: SemanticSettings,
    utterances: Sequence[Utterance],
    reader: ClipReader,
    sample_rate: int,
    layout: TokenLayout,
) -> KMeansTokenizer:
    """A k-means tokenizer trained on `train_s` of these utterances, drawn by their ids.

    Raises:
      ValueError: there is too little sound.
    """
    print("training a semantic tokenizer on the corpus", file=sys.stderr)
    clips = [restore_audio(clip.audio) for _, clip in reader.draw(utterances, settings.train_s)]
    config = FeatureConfig(rate_hz=layout.semantic_rate_hz)
    made, unexplained = train_kmeans(
        clips, sample_rate, config, vocab_size=layout.semantic_vocab_size, seed=settings.seed
    )
    print(
        f"{made.vocab_size} tokens from {sum(map(len, clips)) / sample_rate:.0f} s; they leave "
        f"{unexplained:.1%} of the variance unexplained",
        file=sys.stderr,
    )
    return made


def _check_tokenizer(
    saved: KMeansTokenizer | PhoneTokenizer, settings: SemanticSettings, layout: TokenLayout
) -> None:
    name = f"semantic.tokenizer={settings.tokenizer!r}"
    if settings.kind not in ("tokenizer", saved.kind):
        raise ValueError(f"{name} is of kind {saved.kind!r}, not {settings.kind!r}")
    if saved.rate_hz != layout.semantic_rate_hz:
        raise ValueError(
            f"{name} makes {float(saved.rate_hz):g} tokens a second, the model has "
            f"{float(layout.semantic_rate_hz):g}"
        )
    if saved.vocab_size > layout.semantic_vocab_size:
        raise ValueError(
            f"{name} makes {saved.vocab_size} tokens; the model has room for "
            f"{layout.semantic_vocab_size}"
        )
