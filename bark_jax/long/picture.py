"""A long text as a picture: its waveform, its pieces, their voices, and what was tried again."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

COLUMNS = 3000  # of the waveform
COLORS = ("tab:blue", "tab:orange", "tab:green", "tab:purple", "tab:brown", "tab:pink")
FAULTY = "tab:red"


def draw(audio: Path, manifest: Mapping[str, Any], path: Path) -> None:
    """Writes a PNG.

    Pieces have the colours of their voices: the speaker's and, where the voice is renewed from time
    to time, another shade for each chain. Red marks show tries that were not taken.

    Raises:
      ImportError: matplotlib is missing.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained", dpi=130)
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    low, high, column_s = _envelope(audio)
    times = np.arange(len(low)) * column_s
    above.fill_between(times, low, high, color="0.6", linewidth=0)
    speakers = list(dict.fromkeys(piece["speaker"] for piece in manifest["pieces"]))
    for piece, chain in zip(manifest["pieces"], _chains(manifest["pieces"]), strict=True):
        color = COLORS[speakers.index(piece["speaker"]) % len(COLORS)]
        begin_s, end_s = piece["begin_s"], piece["end_s"]
        above.axvspan(begin_s, end_s, color=color, alpha=0.25 if chain % 2 else 0.12, linewidth=0)
        below.barh(0, end_s - begin_s, left=begin_s, height=1, color=color,
                   alpha=0.9 if chain % 2 else 0.5, edgecolor="white", linewidth=0.5)  # fmt: skip
        n_again = len(piece["tries"]) - 1
        middle_s = (begin_s + end_s) / 2
        below.plot([middle_s] * n_again, 1 + 0.6 * np.arange(n_again), "v", color=FAULTY, ms=4)
    names = ["narrator" if name is None else name for name in speakers]
    for name, color in zip(names, itertools.cycle(COLORS), strict=False):
        below.plot([], [], "s", color=color, label=name)
    below.plot([], [], "v", color=FAULTY, label="tried again", ms=4)
    below.set_ylim(-0.7, 3)
    below.set_yticks([])
    below.legend(loc="upper right", ncols=len(names) + 1, fontsize="small", frameon=False)
    below.set_xlabel("time [s]")
    above.set_ylabel("amplitude")
    settings = manifest["settings"]
    above.set_title(f"{len(manifest['pieces'])} pieces, {settings['mode']}", fontsize="medium")
    figure.savefig(path, metadata={"Software": None})


def _chains(pieces: list[Mapping[str, Any]]) -> list[int]:
    """Which chain of pieces, each continuing the one before, a piece is in; counted from 0."""
    chains: list[int] = []
    for index, piece in enumerate(pieces):
        source = piece["continues"]
        if source is not None and source == _before(pieces, index):
            chains.append(chains[source])
        else:
            chains.append(max(chains, default=-1) + 1)
    return chains


def _before(pieces: list[Mapping[str, Any]], index: int) -> int | None:
    """The piece that the same speaker said before."""
    own = [i for i in range(index) if pieces[i]["speaker"] == pieces[index]["speaker"]]
    return own[-1] if own else None


def _envelope(audio: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """Least and greatest samples of each column, and its width [s]; read block by block."""
    import soundfile

    with soundfile.SoundFile(audio) as file:
        n = max(1, -(-len(file) // COLUMNS))
        blocks = list(file.blocks(n, dtype="float32"))
        low = np.array([block.min() for block in blocks])
        high = np.array([block.max() for block in blocks])
        return low, high, n / file.samplerate
