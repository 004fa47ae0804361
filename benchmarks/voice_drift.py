"""What anchor, carry and reanchor do to a voice over many pieces: pitch and spectrum.

Run: python -m benchmarks.voice_drift TEXT OUT_DIR --model nano --seed 1

Speaks the text once in each mode, a piece a sentence, and measures every piece beside the first:
median pitch, and the mean distance [dB] of the mel spectra with the loudness left out.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from bark_jax.evaluation.pitch import pitch_of
from bark_jax.evaluation.spectrogram import mel_db
from bark_jax.long.settings import MODES

COLORS = {"anchor": "tab:blue", "carry": "tab:red", "reanchor": "tab:green"}
Drift = Mapping[str, Sequence[float | None]]  # "f0_hz", "distance_db", by piece


def measure(audio: Path) -> Drift:
    """Pitch and spectrum of every piece of a long text, whose manifest lies beside it."""
    pieces = json.loads(audio.with_suffix(".json").read_text(encoding="utf-8"))["pieces"]
    samples, rate = soundfile.read(audio, dtype="float32")
    said = [samples[round(p["begin_s"] * rate) : round(p["end_s"] * rate)] for p in pieces]
    spectra = [_spectrum(piece, rate) for piece in said]
    return {
        "f0_hz": [pitch_of(piece, rate).median_hz for piece in said],
        "distance_db": [float(np.abs(spectrum - spectra[0]).mean()) for spectrum in spectra],
    }


def _spectrum(audio: np.ndarray, rate: int) -> np.ndarray:
    """Mean mel spectrum [dB] (M,) of the louder half of the columns, loudness subtracted."""
    db_MT = mel_db(audio, rate)
    loud_T = db_MT.mean(axis=0)
    mean_M = db_MT[:, loud_T >= np.median(loud_T)].mean(axis=1)
    return mean_M - mean_M.mean()


def summary(drift: Drift) -> dict[str, float]:
    """First and last tenth of the pieces, and how much all of them vary."""
    f0 = np.array([np.nan if each is None else each for each in drift["f0_hz"]])
    distance = np.array(drift["distance_db"])
    n = max(1, len(f0) // 10)
    return {
        "f0_first_hz": float(np.nanmedian(f0[:n])),
        "f0_last_hz": float(np.nanmedian(f0[-n:])),
        "f0_std_hz": float(np.nanstd(f0)),
        "distance_first_db": float(distance[1 : n + 1].mean()),
        "distance_last_db": float(distance[-n:].mean()),
    }


def draw(drifts: Mapping[str, Drift], path: Path) -> None:
    """Writes a PNG: pitch above, distance below, a line for every mode."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained", dpi=130)
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True)
    for mode, drift in drifts.items():
        f0 = [np.nan if each is None else each for each in drift["f0_hz"]]
        above.plot(f0, ".-", color=COLORS[mode], label=mode, linewidth=0.8)
        below.plot(drift["distance_db"], ".-", color=COLORS[mode], linewidth=0.8)
    above.set_ylabel("median pitch [Hz]")
    below.set_ylabel("distance of spectrum\nfrom the first piece [dB]")
    below.set_xlabel("piece")
    above.legend(loc="upper right")
    figure.savefig(path, metadata={"Software": None})


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--voice")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    drifts = {mode: measure(_speak(args, mode)) for mode in MODES}
    (args.out_dir / "drift.json").write_text(json.dumps(drifts, indent=1))
    draw(drifts, args.out_dir / "drift.png")
    for mode, drift in drifts.items():
        print(mode, {name: round(value, 1) for name, value in summary(drift).items()})


def _speak(args: Any, mode: str) -> Path:
    from bark_jax import Bark

    args.out_dir.mkdir(parents=True, exist_ok=True)
    path = args.out_dir / f"{mode}.wav"
    Bark.from_pretrained(args.model).generate_long(
        args.text.read_text(encoding="utf-8"),
        voice=args.voice,
        seed=args.seed,
        settings={"mode": mode, "merge": False},
        path=path,
        progress=True,
    )
    return path


if __name__ == "__main__":
    main()
