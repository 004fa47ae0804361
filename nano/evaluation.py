"""How well a model is understood: word error rates beside flite's own, link by link.

The judge is a speech recogniser independent of the model. Training never saw the sentences; the
errors of flite speaking them are what a perfect model would reach.
"""

import dataclasses
import multiprocessing
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from bark_jax.checkpoint import load_source
from bark_jax.config import TRANSFORMERS
from bark_jax.evaluation.pitch import pitch_of
from bark_jax.evaluation.recognizer import make_recognizer
from bark_jax.evaluation.spectrogram import RANGE_DB, mel_db
from bark_jax.evaluation.wer import normalize, word_errors
from bark_jax.pipeline import Bark
from bark_jax.preparation.corpus import read_phones
from bark_jax.preparation.models import ModelSource
from bark_jax.preparation.semantic_features import n_tokens, token_times
from bark_jax.preparation.semantic_tokenizers import STATES_PER_PHONE, phone_tokens
from bark_jax.runtime.lines import read_lines
from bark_jax.sampling_config import SamplingConfig, recorded
from bark_jax.sources.resolve import resolve_model
from bark_jax.spelling import spell_out
from nano.corpus import SAMPLE_RATE, SILENCE, Utterance, common_phone, own_phone, speak

NO_VOICE = "none"
PITCH_ROWS = 20  # utterances per row of the table whose pitch is measured
GREEDY = {stage: {"temperature": 0.0} for stage in TRANSFORMERS}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """Fields of configs/nano/evaluate.yaml."""

    model: ModelSource = dataclasses.field(default_factory=lambda: ModelSource(source="nano"))
    weights: str | None = None  # as in `Bark.from_pretrained`
    source: dataclasses.InitVar[str | None] = None  # an older name of model.source
    texts: str = "nano/unseen.txt"  # a sentence a line
    n_texts: int = 200  # the first ones
    voices: tuple[str, ...] = (NO_VOICE, "rms", "slt")  # presets; flite's voices of the same name
    samplings: dict[str, Any] = dataclasses.field(
        default_factory=lambda: {"default": {}, "greedy": GREEDY}
    )
    links: bool = False  # also measure each stage's part in the errors
    seed: int = 0  # of the first sentence; the others count on from it
    recognizer: str = "pocketsphinx"
    workers: int = 2  # processes that run the recogniser
    out: str | None = None  # folder for the result

    def __post_init__(self, source: str | None) -> None:
        if source is not None:
            object.__setattr__(self, "model", ModelSource(source=source))
        if self.n_texts < 1 or self.workers < 1 or not self.voices or not self.samplings:
            raise ValueError(
                f"n_texts={self.n_texts}, workers={self.workers}, voices={self.voices}, "
                f"samplings={sorted(self.samplings)}: want at least one of each"
            )


@dataclasses.dataclass(frozen=True)
class Spoken:
    """One way of speaking all sentences."""

    speaker: str
    voice: str
    sampling: str  # "" where nothing is drawn
    audio: Sequence[np.ndarray]  # (S,) float32 at SAMPLE_RATE of each sentence


def evaluate(settings: EvaluationSettings) -> dict[str, Any]:
    """Speaks and judges; returns plain data, one of `rows` for each way of speaking.

    Raises:
      FileNotFoundError: the sentences or flite are not there.
      ValueError: a setting is out of its range, or a voice unknown.
    """
    texts = read_texts(Path(settings.texts))[: settings.n_texts]
    make_recognizer(settings.recognizer)  # fails early if it is missing
    model = resolve_model(settings.model.source)
    bark = Bark.from_pretrained(model, weights=settings.weights)
    if bark.sample_rate != SAMPLE_RATE:
        raise ValueError(
            f"model.source={settings.model.source!r} has {bark.sample_rate} samples per second, "
            f"flite's voices {SAMPLE_RATE}"
        )
    names = load_source(model).get("phones", ())
    words = [spell_out(text) for text in texts]
    said = {v: _flite(words, v) for v in settings.voices if v != NO_VOICE}
    spoken = [Spoken("flite", v, "", [_float(u) for u in us]) for v, us in said.items()]
    for voice, utterances in said.items():
        if settings.links:
            spoken += _links(bark, voice, utterances, names)
    for name, sampling in settings.samplings.items():
        for voice in settings.voices:
            chosen = None if voice == NO_VOICE else voice
            seeds = range(settings.seed, settings.seed + len(texts))
            made = dict(bark.stream(texts, voice=chosen, seed=list(seeds), sampling=sampling))
            spoken.append(Spoken("model", voice, name, [made[i].audio for i in range(len(texts))]))
    phones = _phone_rows(bark, texts, said, settings, names) if settings.links else []
    timbres = {v: timbre([_float(u) for u in us]) for v, us in said.items()}
    with ProcessPoolExecutor(settings.workers, multiprocessing.get_context("spawn")) as pool:
        rows = [_judge(each, words, said, timbres, settings.recognizer, pool) for each in spoken]
    return {
        "model": settings.model.source,
        "recognizer": settings.recognizer,
        "n_texts": len(texts),
        "samplings": {name: _used(bark, each) for name, each in settings.samplings.items()},
        "rows": rows,
        "semantic": phones,
    }


def _used(bark: Bark, sampling: Any) -> dict[str, Any]:
    """The values that are drawn with where a sampling is given in part."""
    return recorded(SamplingConfig.of(sampling).over(bark.sampling).plain())


def read_texts(path: Path) -> list[str]:
    """The lines of a file that contain a word."""
    if not path.is_file():
        raise FileNotFoundError(f"texts={str(path)!r} is not a file")
    texts = [line.strip() for line in read_lines(path)]
    if not (texts := [text for text in texts if normalize(text)]):
        raise ValueError(f"texts={str(path)!r} holds no sentence")
    return texts


def render(result: Mapping[str, Any]) -> str:
    """The result as a table in Markdown."""
    lines = [
        "| speaker | voice | sampling | word error rate | length / flite's | median F0 [Hz] | "
        "spectral distance to flite's voices [dB] |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        distances = ", ".join(f"{voice} {d:.1f}" for voice, d in row["distance_db"].items())
        pitch = "" if row["pitch_hz"] is None else f"{row['pitch_hz']:.0f}"
        length = "" if row["length_ratio"] is None else f"{row['length_ratio']:.2f}"
        lines.append(
            f"| {row['speaker']} | {row['voice']} | {row['sampling']} | "
            f"{100 * row['wer']:.1f} % | {length} | {pitch} | {distances} |"
        )
    for row in result["semantic"]:
        lines.append(
            f"| model, phones of its semantic tokens | {row['voice']} | {row['sampling']} | "
            f"{100 * row['phone_errors']:.1f} % | | | |"
        )
    return "\n".join(lines)


def _flite(texts: Sequence[str], voice: str) -> list[Utterance]:
    """flite's speech, from texts as in training: numbers and abbreviations in words."""
    with tempfile.TemporaryDirectory() as folder:
        return [speak(text, voice, Path(folder, "one.wav")) for text in texts]


def _float(utterance: Utterance) -> np.ndarray:
    return utterance.audio.astype(np.float32) / 32768


def _links(
    bark: Bark, voice: str, utterances: Sequence[Utterance], names: Sequence[str]
) -> list[Spoken]:
    """The chain measured from its end: the codec alone, then the model on true semantic tokens."""
    codes = bark.encode([_float(utterance) for utterance in utterances])
    n_coarse = bark.config.tokens.n_coarse_codebooks
    tokens = [semantic_tokens(bark, voice, utterance, names) for utterance in utterances]
    coarse = bark.coarse(tokens, voice=voice, sampling=GREEDY)
    fine = bark.fine(coarse, voice=voice, sampling=GREEDY)
    made = {
        "codec": codes,
        f"codec, {n_coarse} codebooks": [row[:n_coarse] for row in codes],
        "model on true semantic tokens": fine,
    }
    return [Spoken(name, voice, "", list(bark.decode(list(rows)))) for name, rows in made.items()]


def semantic_tokens(
    bark: Bark, voice: str, utterance: Utterance, names: Sequence[str]
) -> np.ndarray:
    """Tokens (N,) int32 of flite's own phones, as the model was trained on them.

    Args:
      names: of the phones that the model's tokens are thirds of.
    Raises:
      ValueError: the model has no phones of this voice.
    """
    rate = bark.config.tokens.semantic_rate_hz
    times_s = token_times(n_tokens(len(utterance.audio), SAMPLE_RATE, rate), rate)
    spoken = [(own_phone(voice, name), end_s) for name, end_s in utterance.phones]
    return phone_tokens(read_phones(spoken), times_s, names)


def spoken_phones(tokens: np.ndarray, names: Sequence[str]) -> list[str]:
    """The phones that semantic tokens (N,) stand for, without silence.

    A new phone begins where the phone changes, or where its thirds start over.
    """
    spoken, before = [], None
    for token in tokens:
        phone, third = divmod(int(token), STATES_PER_PHONE)
        if before is None or phone != before[0] or third < before[1]:
            spoken.append(common_phone(names[phone]))
        before = (phone, third)
    return [name for name in spoken if name != SILENCE]


def _phone_rows(
    bark: Bark,
    texts: Sequence[str],
    said: Mapping[str, Sequence[Utterance]],
    settings: EvaluationSettings,
    names: Sequence[str],
) -> list[dict[str, Any]]:
    """Phone error rates of the semantic stage by voice and sampling."""
    rows = []
    for voice, utterances in said.items():
        meant = [[p for p, _ in u.phones if p != SILENCE] for u in utterances]
        for name, sampling in settings.samplings.items():
            seeds = list(range(settings.seed, settings.seed + len(texts)))
            made = bark.semantic(list(texts), voice=voice, seed=seeds, sampling=sampling)
            pairs = zip(meant, (spoken_phones(tokens, names) for tokens in made), strict=True)
            found = [word_errors(" ".join(a), " ".join(b)) for a, b in pairs]
            errors, phones = (sum(column) for column in zip(*found, strict=True))
            rows.append({"voice": voice, "sampling": name, "phone_errors": errors / phones})
    return rows


def _judge(
    spoken: Spoken,
    texts: Sequence[str],
    said: Mapping[str, Sequence[Utterance]],
    timbres: Mapping[str, np.ndarray],
    recognizer: str,
    pool: ProcessPoolExecutor,
) -> dict[str, Any]:
    heard = list(pool.map(listen, [(recognizer, audio) for audio in spoken.audio], chunksize=8))
    found = [word_errors(text, words) for text, words in zip(texts, heard, strict=True)]
    errors, words = (sum(column) for column in zip(*found, strict=True))
    pitches = [p for p in pool.map(_pitch, spoken.audio[:PITCH_ROWS]) if p is not None]
    timbre_M = timbre(spoken.audio)
    samples = sum(len(audio) for audio in spoken.audio)
    reference = sum(len(u.audio) for u in said.get(spoken.voice, ()))
    return {
        "speaker": spoken.speaker,
        "voice": spoken.voice,
        "sampling": spoken.sampling,
        "errors": errors,
        "words": words,
        "wer": errors / words,
        "length_ratio": samples / reference if reference else None,
        "pitch_hz": float(np.median(pitches)) if pitches else None,
        "distance_db": {
            v: float(np.sqrt(np.square(timbre_M - other_M).mean()))
            for v, other_M in timbres.items()
        },
        "heard": heard,
    }


def timbre(audio: Sequence[np.ndarray]) -> np.ndarray:
    """The sound of a voice: its mean mel spectrum [dB] (M,), with the loudness subtracted.

    Args:
      audio: (S,) float at SAMPLE_RATE of each sentence. Silence does not count.
    """
    columns_MT = np.concatenate([mel_db(each, SAMPLE_RATE) for each in audio], axis=1)
    mean_M = columns_MT[:, columns_MT.max(0) > RANGE_DB / 2].mean(1)
    return mean_M - mean_M.mean()


def listen(job: tuple[str, np.ndarray]) -> str:
    """The words that a recogniser hears, spelt out as those that were meant are: no "$4.50"."""
    recognizer, audio = job
    return spell_out(make_recognizer(recognizer)(audio, SAMPLE_RATE)) if len(audio) else ""


def _pitch(audio: np.ndarray) -> float | None:
    return pitch_of(audio, SAMPLE_RATE).median_hz
