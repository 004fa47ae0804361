"""A recording as a piece of HTML: a player, its waveform, and what is known of it.

Everything is inside, so that it plays and shows without a network, from a notebook's file too.
"""

import base64
import html
import io
from collections.abc import Mapping, Sequence

import numpy as np

COLUMNS, HEIGHT = 400, 64  # of the waveform [points of its own scale]
TICKS_S = (0.25, 0.5, 1, 2, 5, 10, 30, 60, 300)  # between marks of the time
MOST_TICKS = 10
LABEL = 24  # width of a tick's words, in the points of the waveform


def player(
    audio: np.ndarray,
    sample_rate: int,
    *,
    title: str,
    facts: Sequence[str],
    details: Mapping[str, str],
) -> str:
    """HTML of a recording.

    Args:
      audio: (S,) float; shown as it is, played clipped to -1 … 1, 16 bits a sample.
      title: what is said.
      facts: short ones, in a line below.
      details: longer ones by name, folded away.
    """
    rows = "".join(
        f"<tr><td style='text-align:left;padding-right:1em'>{_text(name)}</td>"
        f"<td style='text-align:left'>{_text(value)}</td></tr>"
        for name, value in details.items()
    )
    is_empty = not len(audio)
    sound = "no audio" if is_empty else _waveform(audio, sample_rate) + _sound(audio, sample_rate)
    return (
        "<div style='max-width:40em;margin:.5em 0'>"
        f"<div><b>{_text(title)}</b></div>{sound}"
        f"<div style='opacity:.75;font-size:90%'>{_text(' · '.join(facts))}</div>"
        "<details style='opacity:.75;font-size:90%'><summary>settings</summary>"
        f"<table>{rows}</table></details></div>"
    )


def _text(value: str) -> str:
    return html.escape(value, quote=True)


def _sound(audio: np.ndarray, sample_rate: int) -> str:
    """A player with the samples inside, without loss beyond their 16 bits."""
    import soundfile

    with io.BytesIO() as file:
        samples = np.asarray(audio, np.float32).clip(-1, 1)
        soundfile.write(file, samples, sample_rate, format="FLAC", subtype="PCM_16")
        data = base64.b64encode(file.getvalue()).decode()
    return (
        "<audio controls preload='metadata' style='width:100%' "
        f"src='data:audio/flac;base64,{data}'></audio>"
    )


def _waveform(audio: np.ndarray, sample_rate: int) -> str:
    """Least and greatest sample of each column, in the colour of the text, over the seconds."""
    n_columns = min(COLUMNS, len(audio))
    edges = np.linspace(0, len(audio), n_columns + 1).astype(int)[:-1]
    peak = max(1.0, float(np.abs(audio).max()))
    middle = HEIGHT / 2
    x = np.arange(n_columns) * COLUMNS / n_columns
    tops, bottoms = (
        middle - extreme.reduceat(np.asarray(audio, np.float64), edges) / peak * middle
        for extreme in (np.maximum, np.minimum)
    )
    outline = [*zip(x, tops, strict=True), *zip(x[::-1], bottoms[::-1], strict=True)]
    path = " ".join(f"{a:.4g},{b:.3g}" for a, b in outline)
    return (
        f"<svg viewBox='0 0 {COLUMNS} {HEIGHT + 12}' style='width:100%;display:block' role='img'>"
        f"<polygon points='{path}' fill='currentColor' fill-opacity='.6' stroke='currentColor' "
        f"stroke-opacity='.6' stroke-width='.5'/>{_ticks(len(audio) / sample_rate)}</svg>"
    )


def _ticks(duration_s: float) -> str:
    """Marks of the time below the waveform."""
    step_s = next((step for step in TICKS_S if duration_s / step <= MOST_TICKS), TICKS_S[-1])
    marks = []
    for second in np.arange(0, duration_s, step_s):
        x = second / duration_s * COLUMNS
        marks.append(f"<path d='M{x:.4g} {HEIGHT}v3' stroke='currentColor' stroke-opacity='.6'/>")
        if x > COLUMNS - LABEL:
            break
        marks.append(
            f"<text x='{x + 2:.4g}' y='{HEIGHT + 9}' font-size='8' fill='currentColor' "
            f"fill-opacity='.75'>{second:g} s</text>"
        )
    return "".join(marks)
