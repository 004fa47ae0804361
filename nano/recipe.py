"""The whole way from sentences to the packaged model, step by step.

OUT/corpus       sentences spoken by flite          OUT/lexicon.txt  words, pronounced by flite
OUT/letters.npz  how other words are pronounced
OUT/base         an untrained model                 OUT/short, OUT/long   what it reads and says
OUT/recordings   records without useful codes       OUT/codec, OUT/reading   trained on them
OUT/data         records with the codec's codes     OUT/coarse, OUT/fine     trained on them
OUT/semantic     the reading, trained further on long texts
OUT/decoder      the codec, its decoder trained further on the coarse model's codebooks
OUT/model        all four stages and the voices     OUT/evaluation.json      word error rates
OUT/curves.png   the losses                         OUT/spectrograms.png     beside flite's

The same command again continues: it skips steps whose result is there, and resumes a training that
was stopped.
"""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bark_jax.config import STAGES
from bark_jax.runtime.paths import NANO
from nano.corpus import CorpusSettings, write_corpus
from nano.figures import draw_curves, draw_spectrograms
from nano.labels import write_labels
from nano.letters import learn_letters
from nano.model import write_base
from nano.natural import english_words
from nano.packing import add_voices, assemble, install, origin
from nano.pronunciation import common_words, without_some, write_pronunciations

ROOT = Path(__file__).resolve().parents[1]
SHOWN = ("Could you turn the music down a little bit?", "Wake me up when the game starts.")
ROUNDS = 3  # of every recording in the data of the semantic stage
# On CPU a step returns its memory and gets it again page by page, in a quarter of its time.
MALLOC = ":".join(
    f"glibc.malloc.{name}"
    for name in (
        "hugetlb=1", "mmap_max=0", "trim_threshold=10000000000", "top_pad=300000000",
    )
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Training:
    """One run of scripts/finetune.py; directories lie below OUT."""

    name: str
    stage: str
    model: str  # to start from
    data: str
    fresh: bool = False  # from random values


FIRST = (
    Training("codec", "codec", model="base", data="recordings", fresh=True),
    Training("reading", "semantic", model="base", data="short", fresh=True),
)
SECOND = (
    Training("semantic", "semantic", model="reading/export", data="long"),
    Training("coarse", "coarse", model="codec/export", data="data", fresh=True),
    Training("decoder", "codec", model="codec/export", data="recordings"),
    Training("fine", "fine", model="codec/export", data="data", fresh=True),
)
NAMES = tuple(training.name for training in (*FIRST, *SECOND))
# the training that a stage is taken from
SOURCES = {stage: "decoder" if stage == "codec" else stage for stage in STAGES}


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecipeSettings:
    """Fields of configs/nano/train_nano.yaml."""

    out: str
    minutes: dict[str, float]  # training -> its time, on any machine
    train: dict[str, dict[str, Any]]  # training -> settings of scripts/finetune.py
    voices: dict[str, str]  # name of a preset -> id of the recording that it is made of
    lengths_s: dict[str, float]  # "short", "long" -> what the semantic stage reads in one go
    corpus: CorpusSettings = dataclasses.field(default_factory=CorpusSettings)
    at_a_time: int = 2  # trainings side by side; 1 on a machine with one accelerator
    evaluate: bool = True
    install: bool = False  # put the model into the package

    def __post_init__(self) -> None:
        for name in ("minutes", "train"):
            if (found := set(getattr(self, name))) != set(NAMES):
                raise ValueError(f"{name} is for {sorted(found)}, want {sorted(NAMES)}")
        if set(self.lengths_s) != {"short", "long"}:
            raise ValueError(f"lengths_s is for {sorted(self.lengths_s)}, want ['long', 'short']")
        if self.at_a_time < 1:
            raise ValueError(f"at_a_time={self.at_a_time}, want at least 1")


def run(settings: RecipeSettings) -> Path:
    """Runs all steps; returns the model's directory.

    Raises:
      FileNotFoundError: flite is not installed.
      RuntimeError: a step failed; it has printed its own message.
    """
    out = Path(settings.out).expanduser().resolve()
    manifest = write_corpus(out / "corpus", settings.corpus)
    lexicon = write_pronunciations(out / "lexicon.txt", english_words())
    letters = learn_letters(out / "letters.npz", lexicon)
    voices = settings.corpus.voices
    base = write_base(out / "base", voices, without_some(lexicon, common_words(manifest)))
    for name, longest_s in settings.lengths_s.items():
        write_labels(manifest, base, out / name, longest_s=longest_s, rounds=ROUNDS)
    _prepare(manifest, base, out / "recordings", keep_audio=True)
    _train(FIRST, out, settings)
    _prepare(manifest, out / "codec" / "export", out / "data", keep_audio=False)
    _train(SECOND, out, settings)

    exports = {stage: out / name / "export" for stage, name in SOURCES.items()}
    about = origin(out / "corpus", dict(settings.minutes))
    model = assemble(out / "model", exports, about, lexicon, letters)
    add_voices(model, out / "data", settings.voices)
    if settings.evaluate and not (out / "evaluation.json").is_file():
        _script("evaluate", [f"model.source={model}", f"out={out}", "links=true"])
    draw_curves([out / name for name in NAMES], out / "curves.png")
    draw_spectrograms(model, SHOWN, settings.corpus.voices[0], out / "spectrograms.png")
    if settings.install:
        n_bytes = install(model, NANO)
        print(f"packed {n_bytes / 1e6:.1f} MB into {NANO}", file=sys.stderr)
    return model


def _prepare(manifest: Path, model: Path, out: Path, *, keep_audio: bool) -> None:
    if (out / "manifest.json").is_file():
        return
    _script(
        "prepare_data",
        [
            f"manifest={manifest}",
            f"out={out}",
            f"model.source={model}",
            "semantic=phones",
            "clip.trim_db=null",
            f"keep_audio={str(keep_audio).lower()}",
        ],
    )


def _train(trainings: Sequence[Training], out: Path, settings: RecipeSettings) -> None:
    """Runs trainings, some at a time; raises the first error when all have ended."""

    def one(training: Training) -> None:
        name = training.name
        if (out / name / "export").is_dir():
            return
        chosen = [f"{key}={_value(value)}" for key, value in settings.train[name].items()]
        fixed = {
            "stage": training.stage, "data": out / training.data,
            "model.source": out / training.model,
            "fresh": _value(training.fresh), "out": out / name,
            "steps": "null", "max_minutes": settings.minutes[name],
        }  # fmt: skip
        _script("finetune", [*(f"{key}={value}" for key, value in fixed.items()), *chosen])

    with ThreadPoolExecutor(settings.at_a_time) as pool:
        for done in [pool.submit(one, training) for training in trainings]:
            done.result()


def _value(value: Any) -> str:
    """A value written as Hydra's command line reads it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_value(v)}" for k, v in value.items()) + "}"
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


def _script(name: str, overrides: Sequence[str]) -> None:
    command = [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *overrides]
    environment = {"GLIBC_TUNABLES": MALLOC, **os.environ}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"scripts/{name}.py failed; the same command goes on after the cause")
