"""Pictures of a run of the recipe: how the losses fell, and spectrograms beside flite's."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bark_jax.pipeline import Bark
from bark_jax.runtime.lines import read_rows
from nano.corpus import speak
from nano.evaluation import GREEDY

WINDOW, HOP = 512, 128  # samples of the spectrograms


def draw_curves(runs: Sequence[Path], path: Path) -> None:
    """Training and evaluation loss of each run against the time it took.

    Args:
      runs: directories of `bark-jax finetune`.
    """
    plt = _pyplot()
    figure, axes = plt.subplots(1, len(runs), figsize=(3.5 * len(runs), 3.2), layout="constrained")
    for axis, run in zip(axes, runs, strict=True):
        rows = read_rows(run / "metrics.jsonl")
        for name, style in (("loss", "-"), ("eval_loss", "o-")):
            found = [(row["elapsed_s"] / 60, row[name]) for row in rows if name in row]
            if found:
                axis.plot(*zip(*found, strict=True), style, markersize=3, label=name)
        axis.set(title=f"{run.name}, {rows[-1]['step']} steps", xlabel="minutes", ylim=(0, None))
        axis.legend()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def draw_spectrograms(model: Path, texts: Sequence[str], voice: str, path: Path) -> None:
    """The model's greedy speech below flite's, one column per sentence."""
    plt = _pyplot()
    bark = Bark.from_pretrained(model)
    said = [bark.generate(text, voice=voice, sampling=GREEDY).audio for text in texts]  # pyright: ignore[reportAttributeAccessIssue]
    with tempfile.TemporaryDirectory() as folder:
        meant = [speak(text, voice, Path(folder, "one.wav")).audio / 32768 for text in texts]
    figure, axes = plt.subplots(
        2, len(texts), figsize=(7 * len(texts), 6), squeeze=False, layout="constrained"
    )
    for row, (name, audios) in enumerate((("flite", meant), ("nano", said))):
        for column, audio in enumerate(audios):
            duration_s = len(audio) / bark.sample_rate
            axes[row, column].imshow(
                _spectrogram(audio), origin="lower", aspect="auto", cmap="magma", vmin=-80, vmax=0,
                extent=(0, duration_s, 0, bark.sample_rate / 2000),
            )  # fmt: skip
            axes[row, column].set(title=f"{name}: {texts[column]}", xlabel="s", ylabel="kHz")
    figure.savefig(path, dpi=80)
    plt.close(figure)


def _spectrogram(audio: np.ndarray) -> np.ndarray:
    """Decibels (F, T) below the loudest."""
    frames = np.lib.stride_tricks.sliding_window_view(audio, WINDOW)[::HOP]
    magnitudes = np.abs(np.fft.rfft(frames * np.hanning(WINDOW))).T
    return 20 * np.log10(magnitudes / magnitudes.max() + 1e-5)


def _pyplot():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt
