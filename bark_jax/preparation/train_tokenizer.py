"""Trains and saves a semantic tokenizer; see `TokenizerSettings`."""

import dataclasses
from fractions import Fraction
from pathlib import Path

from bark_jax.data.pcm import restore_audio
from bark_jax.preparation.clip_reader import ClipReader
from bark_jax.preparation.clips import ClipSettings
from bark_jax.preparation.corpus import Phone, read_corpus
from bark_jax.preparation.semantic_features import FeatureConfig
from bark_jax.preparation.semantic_tokenizers import (
    KINDS,
    KMeansTokenizer,
    PhoneTokenizer,
    save_tokenizer,
)
from bark_jax.preparation.semantic_training import train_kmeans, train_phones


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizerSettings:
    """What `bark-jax train-semantic-tokenizer` does."""

    manifest: str  # list of recordings, as for `prepare_data`
    out: str  # a new directory
    kind: str = "kmeans"  # or "phones", which needs a corpus with time-stamped phones
    rate_hz: float = 49.9  # tokens a second; the model's semantic_rate_hz
    vocab_size: int = 1024  # of k-means
    train_s: float = 3600.0  # audio that it is trained on
    seed: int = 0
    sample_rate: int = 16_000
    window_s: float = 0.025
    n_mels: int = 40
    n_mfcc: int = 14
    workers: int | None = None  # processes that read audio; None: one per core; 0: none apart

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind={self.kind!r} is not one of {tuple(KINDS)}")
        if self.vocab_size < 2:
            raise ValueError(f"vocab_size={self.vocab_size} is less than 2")


def train_tokenizer(
    settings: TokenizerSettings,
) -> tuple[KMeansTokenizer | PhoneTokenizer, float]:
    """Reads recordings, trains, saves.

    Returns:
      the tokenizer, and for k-means the share of variance left unexplained, for phones the share
      of right frames in recordings that it was not trained on.
    Raises:
      ValueError: a setting is out of its range, or the corpus has too little of what is needed.
      OSError: a file cannot be read or written.
    """
    out = Path(settings.out).expanduser()
    if out.exists():
        raise FileExistsError(f"out={settings.out!r} is there already")
    cfg = FeatureConfig(
        rate_hz=Fraction(str(settings.rate_hz)),
        sample_rate=settings.sample_rate,
        window_s=settings.window_s,
        n_mels=settings.n_mels,
        n_mfcc=settings.n_mfcc,
    )
    rows = read_corpus(Path(settings.manifest).expanduser()).utterances
    if settings.kind == "phones":
        rows = tuple(row for row in rows if row.phones)
    with ClipReader(ClipSettings(sample_rate=cfg.sample_rate), settings.workers) as reader:
        drawn = reader.draw(rows, settings.train_s)
    clips = [restore_audio(clip.audio) for _, clip in drawn]
    if settings.kind == "kmeans":
        made, score = train_kmeans(
            clips, cfg.sample_rate, cfg, vocab_size=settings.vocab_size, seed=settings.seed
        )
    else:
        alignments = [_shifted(row.phones, clip.begin_s) for row, clip in drawn]
        made, score = train_phones(clips, cfg.sample_rate, alignments, cfg, seed=settings.seed)
    save_tokenizer(out, made)
    return made, score


def _shifted(phones: tuple[Phone, ...], begin_s: float) -> list[Phone]:
    """The phones with times from the beginning of the clip instead of the recording."""
    return [Phone(each.name, each.begin_s - begin_s, each.end_s - begin_s) for each in phones]
