"""Sentences spoken by flite: recordings, the phones in them, and a manifest that lists them.

DIR/manifest.jsonl   one row per recording, written last: id, audio, text, speaker, phones
DIR/test.jsonl       sentences that the manifest does not hold: id, text
DIR/audio/ID.wav     16 kHz
"""

import dataclasses
import itertools
import json
import os
import random
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from tqdm import tqdm

from bark_jax.evaluation.wer import normalize
from bark_jax.runtime.files import replacing
from bark_jax.runtime.lines import read_lines
from bark_jax.spelling import spell_out
from nano import sentences
from nano.natural import natural_sentences

SAMPLE_RATE = 16_000  # [Hz], flite's own
SILENCE = "pau"
VOICES = ("rms", "slt")  # flite's
LEAD_S, TAIL_S = 0.06, 0.10  # silence that is left at a recording's ends
PUNCTUATION = (".", "!", "")  # a text ends in one of these, a question in "?"
QUESTIONS = ("how", "where", "would", "can", "will", "did", "are", "am", "do", "what")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorpusSettings:
    """What is spoken, and by whom."""

    voices: tuple[str, ...] = VOICES
    texts: str | None = None  # a sentence a line; None: natural and everyday ones
    everyday_share: float = 0.2  # without `texts`: of the sentences come from `sentences.py`
    n_sentences: int = 16_000  # all different, dealt out to the voices in turn
    n_test: int = 0  # further sentences, which no voice speaks in the corpus
    max_characters: int = 130
    max_duration_s: float = 9.9
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.everyday_share <= 1:
            raise ValueError(f"everyday_share={self.everyday_share} is not in 0 … 1")
        if not self.voices or self.n_sentences < len(self.voices) or self.n_test < 0:
            raise ValueError(
                f"voices={self.voices}, n_sentences={self.n_sentences}, n_test={self.n_test}: "
                "want at least one voice and a sentence for each"
            )


@dataclasses.dataclass(frozen=True)
class Utterance:
    """What flite made of one text."""

    audio: np.ndarray  # int16 (S,) at SAMPLE_RATE
    phones: tuple[tuple[str, float], ...]  # (name, end [s]), the silences at both ends included


def write_corpus(directory: Path, settings: CorpusSettings) -> Path:
    """Has flite speak all sentences; keeps what an earlier run has spoken. Returns the manifest.

    Raises:
      FileNotFoundError: there is no flite, or no file of texts.
      ValueError: there are too few different sentences.
    """
    manifest = directory / "manifest.jsonl"
    wanted = {"settings": dataclasses.asdict(settings), "templates": sentences.fingerprint()}
    stamp = directory / "settings.json"
    if manifest.is_file() and json.loads(stamp.read_text()) == json.loads(json.dumps(wanted)):
        return manifest
    (directory / "audio").mkdir(parents=True, exist_ok=True)
    manifest.unlink(missing_ok=True)
    texts = list(_different(settings))
    test, train = texts[: settings.n_test], texts[settings.n_test :]
    _write_lines(directory / "test.jsonl", [_row_of_text(i, t) for i, t in enumerate(test)])

    def speak_one(job: tuple[int, str]) -> dict[str, Any] | None:
        index, text = job
        voice = settings.voices[index % len(settings.voices)]
        row = {**_row_of_text(index, text), "speaker": voice}
        row["id"] = f"{voice}-{index:06d}"
        return _record(directory, row, spell_out(text), settings.max_duration_s)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = pool.map(speak_one, enumerate(train))
        rows = [row for row in tqdm(jobs, "speaking", len(train), disable=None) if row]
    stamp.write_text(json.dumps(wanted, indent=2) + "\n")
    _write_lines(manifest, rows)
    return manifest


def speak(text: str, voice: str, wav: Path) -> Utterance:
    """Has a voice of flite say `text`; silences at both ends are cut to LEAD_S and TAIL_S.

    Args:
      wav: a file that flite may write; it is removed afterwards.
    Raises:
      FileNotFoundError: there is no flite.
    """
    try:
        command = ["flite", "-voice", voice, "-psdur", "-t", text, "-o", str(wav)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        audio, rate = soundfile.read(wav, dtype="int16")
    except FileNotFoundError as error:
        raise FileNotFoundError("flite is not installed: apt-get install flite") from error
    finally:
        wav.unlink(missing_ok=True)
    if rate != SAMPLE_RATE:
        raise ValueError(f"voice {voice!r} of flite speaks at {rate} Hz, want {SAMPLE_RATE}")
    ends = [segment.rsplit(":", 1) for segment in done.stdout.split()]
    return _trimmed(audio, [(name, float(end)) for name, end in ends])


def own_phone(voice: str, phone: str) -> str:
    """The name of a phone in the manifest, where each speaker has phones of their own.

    Semantic tokens thus tell who speaks, and no later stage has to guess it.
    """
    return f"{voice}/{phone}"


def common_phone(name: str) -> str:
    """flite's phone for a name from `own_phone`."""
    return name.rpartition("/")[2]


def _trimmed(audio: np.ndarray, phones: list[tuple[str, float]]) -> Utterance:
    start_s = max(0.0, phones[0][1] - LEAD_S) if phones[0][0] == SILENCE else 0.0
    stop_s = len(audio) / SAMPLE_RATE
    if phones[-1][0] == SILENCE:
        stop_s = min(stop_s, phones[-2][1] + TAIL_S)
    kept = audio[round(start_s * SAMPLE_RATE) : round(stop_s * SAMPLE_RATE)]
    duration_s = len(kept) / SAMPLE_RATE
    moved = tuple((name, round(min(end - start_s, duration_s), 4)) for name, end in phones)
    return Utterance(kept, (*moved[:-1], (moved[-1][0], duration_s)))


def _record(
    directory: Path, row: dict[str, Any], text: str, max_duration_s: float
) -> dict[str, Any] | None:
    """The row with its recording, made unless it exists; None if the recording is too long."""
    wav = directory / "audio" / f"{row['id']}.wav"
    labels = wav.with_suffix(".json")
    if not labels.is_file() or json.loads(labels.read_text())["spoken"] != text:
        utterance = speak(text, row["speaker"], wav.with_suffix(".partial.wav"))
        soundfile.write(wav, utterance.audio, SAMPLE_RATE, subtype="PCM_16")
        with replacing(labels) as partial:
            partial.write_text(json.dumps({"spoken": text, "phones": utterance.phones}))
    spoken = json.loads(labels.read_text())["phones"]
    phones = [[own_phone(row["speaker"], name), end_s] for name, end_s in spoken]
    if phones[-1][1] > max_duration_s:
        return None
    return {**row, "audio": f"audio/{row['id']}.wav", "phones": phones}


def _different(settings: CorpusSettings) -> Iterator[str]:
    """Different sentences, in an order that depends on the seed alone."""
    wanted, seen = settings.n_sentences + settings.n_test, set()
    for text in itertools.islice(_candidates(settings), 200 * wanted):
        said = normalize(spell_out(text))
        if said and said not in seen and len(text) <= settings.max_characters:
            seen.add(said)
            yield text
        if len(seen) == wanted:
            return
    raise ValueError(
        f"n_sentences={settings.n_sentences} + n_test={settings.n_test} are wanted, and "
        f"{settings.texts or 'the templates'} give {len(seen)} different ones of at most "
        f"max_characters={settings.max_characters}"
    )


def _candidates(settings: CorpusSettings) -> Iterator[str]:
    if settings.texts is None:
        yield from _mixed(settings)
        return
    path = Path(settings.texts)
    if not path.is_file():
        raise FileNotFoundError(f"texts={settings.texts!r} is not a file")
    yield from map(str.strip, read_lines(path))


def _mixed(settings: CorpusSettings) -> Iterator[str]:
    """Natural sentences, as long as there are any, with everyday ones in between; without end."""
    rng = random.Random(settings.seed)
    natural = natural_sentences() if settings.everyday_share < 1 else []
    rng.shuffle(natural)
    while True:
        is_everyday = not natural or rng.random() < settings.everyday_share
        yield sentences.draw(rng) if is_everyday else natural.pop()


def _row_of_text(index: int, text: str) -> dict[str, Any]:
    """What a model is to read; words alone get, mostly, a capital and a mark at their end."""
    if text == normalize(text):
        rng = random.Random(text)
        mark = "?" if text.split()[0] in QUESTIONS else rng.choice(PUNCTUATION)
        text = (text.capitalize() if mark else text) + mark
    return {"id": f"test-{index:06d}", "text": text}


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    with replacing(path) as partial:
        partial.write_text("".join(json.dumps(row) + "\n" for row in rows))
