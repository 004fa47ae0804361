"""Steering: a direction between two voices, added while semantic tokens are drawn.

The direction is the difference of means of one place, over all draws of a few sentences in either
voice. What it does is heard in other sentences, spoken without a voice.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bark_jax.evaluation.pitch import pitch_of
from bark_jax.evaluation.recognizer import transcribe
from bark_jax.evaluation.wer import word_errors
from bark_jax.hooks import Add
from bark_jax.pipeline import Bark


@dataclasses.dataclass(frozen=True, kw_only=True)
class SteeringSettings:
    """What is steered, how far, and where the results go."""

    model: str = "nano"
    voices: tuple[str, str] = ("rms", "slt")  # from, to
    place: str = "semantic.h.1.resid"
    strengths: tuple[float, ...] = (-2, -1, -0.5, 0, 0.5, 1, 2)  # times the direction
    texts: str = "nano/unseen.txt"  # one sentence a line
    n_learned: int = 6  # sentences for the direction, the first ones
    n_spoken: int = 10  # sentences that are heard, the next ones
    out: str = "steering"  # folder of the table and the figure


@dataclasses.dataclass(frozen=True)
class Heard:
    """All sentences with one strength."""

    strength: float
    pitch_hz: list[float]  # median of each sentence; none where nothing is voiced
    word_error_rate: float
    duration_s: float  # mean


def direction(bark: Bark, texts: Sequence[str], voices: tuple[str, str], place: str) -> np.ndarray:
    """Mean of what a place holds in the second voice, less that in the first."""
    means = []
    for voice in voices:
        made = bark.generate(list(texts), voice=voice, trace=place)
        drawn = np.concatenate([row.trace[place][: len(row.semantic)] for row in made])
        means.append(drawn.mean(0))
    return means[1] - means[0]


def hear(
    bark: Bark, texts: Sequence[str], place: str, vector: np.ndarray, strength: float
) -> Heard:
    """Speaks the sentences with so much of the vector added to the place, without a voice."""
    seeds = list(range(len(texts)))
    made = bark.generate(list(texts), seed=seeds, edits={place: Add(strength * vector)})
    pitches = [pitch_of(row.audio, row.sample_rate).median_hz for row in made]
    counts = [word_errors(row.text, transcribe(row.audio, row.sample_rate)) for row in made]
    errors, words = np.sum(counts, axis=0)
    return Heard(
        strength,
        [round(pitch, 1) for pitch in pitches if pitch is not None],
        float(errors / words),
        float(np.mean([row.duration_s for row in made])),
    )


def run(settings: SteeringSettings) -> list[Heard]:
    """Measures every strength, and writes the table, the figure and what was heard."""
    bark = Bark.from_pretrained(settings.model)
    lines = Path(settings.texts).expanduser().read_text(encoding="utf-8").split("\n")
    learned, rest = lines[: settings.n_learned], lines[settings.n_learned :]
    vector = direction(bark, learned, settings.voices, settings.place)
    heard = [
        hear(bark, rest[: settings.n_spoken], settings.place, vector, strength)
        for strength in settings.strengths
    ]
    out = Path(settings.out).expanduser()
    out.mkdir(parents=True, exist_ok=True)
    rows = [json.dumps(dataclasses.asdict(row)) for row in heard]
    (out / "steering.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (out / "steering.md").write_text(table(heard), encoding="utf-8")
    draw(heard, settings, out / "steering.png")
    return heard


def table(heard: Sequence[Heard]) -> str:
    """Markdown."""
    rows = [
        f"| {row.strength:+g} | {_median(row):.0f} | {100 * row.word_error_rate:.0f} % "
        f"| {row.duration_s:.2f} |"
        for row in heard
    ]
    head = ["| strength | median F0 [Hz] | words wrong | mean length [s] |", "|---|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def _median(row: Heard) -> float:
    return float(np.median(row.pitch_hz)) if row.pitch_hz else float("nan")


def draw(heard: Sequence[Heard], settings: SteeringSettings, path: Path) -> None:
    """A PNG: the pitch of every sentence, and word errors, over the strength."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.4), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    strengths = [row.strength for row in heard]
    for row in heard:
        above.plot([row.strength] * len(row.pitch_hz), row.pitch_hz, "o", color="0.7", ms=4)
    above.plot(strengths, [_median(row) for row in heard], "-", color="tab:blue")
    above.set_ylabel("F0 [Hz]")
    below.plot(strengths, [100 * row.word_error_rate for row in heard], "o-", color="tab:red")
    below.set(ylabel="words wrong [%]", ylim=(0, None))
    below.set_xlabel(
        f"{settings.voices[1]} less {settings.voices[0]}, times this, at {settings.place}"
    )
    figure.savefig(path, metadata={"Software": None})
