"""Throughput against batch size, beside what memory and arithmetic allow."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

COLORS = {"semantic_decode": "tab:blue", "coarse_decode": "tab:orange"}
LABELS = {"semantic_decode": "semantic decode", "coarse_decode": "coarse decode"}
PEER_MARKS = {"suno": "s", "transformers": "^"}


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Writes a PNG: measured points, rooflines dashed, the peers at one row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    figure = Figure(figsize=(10, 5), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    stages = result["summary"]["stages"]
    one_row = [row | {"rows": 1} for row in stages if row["peer"] == "ours"]
    batches = result["summary"]["batches"] or one_row
    for stage, color in COLORS.items():
        rows = [row for row in batches if (row["stage"], row["peer"]) == (stage, "ours")]
        if not rows:
            continue
        sizes = [row["rows"] for row in rows]
        measured = [row["tokens_per_s"] for row in rows]
        bounds = [row["roofline_tokens_per_s"] for row in rows]
        axes.plot(sizes, measured, "o-", color=color, label=f"{LABELS[stage]}, bark_jax")
        axes.plot(sizes, bounds, "_--", color=color, label=f"{LABELS[stage]}, roofline")
    _draw_peers(axes, stages)
    sizes = sorted({row["rows"] for row in batches})
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(LogFormatter())
    axes.yaxis.set_minor_formatter(LogFormatter())
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set_xlabel("rows in a batch")
    axes.set_ylabel("tokens per second, all rows together")
    axes.set_title(_title(result), fontsize="medium")
    axes.grid(which="both", alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    figure.savefig(path, metadata={"Software": None})


def _draw_peers(axes: Any, rows: list[Mapping[str, Any]]) -> None:
    for row in rows:
        if row["stage"] in COLORS and row["peer"] in PEER_MARKS:
            label = f"{LABELS[row['stage']]}, {row['peer']}"
            axes.plot(
                [1], [row["tokens_per_s"]], PEER_MARKS[row["peer"]], color=COLORS[row["stage"]],
                markerfacecolor="none", label=label,
            )  # fmt: skip


def _title(result: Mapping[str, Any]) -> str:
    ours, hardware = result["peers"]["ours"], result["hardware"]
    is_cpu = ours["platform"] == "cpu"
    device = f"{hardware['cpu']}, {hardware['cores']} cores" if is_cpu else ours["device"]
    return f"Bark {result['settings']['size']}, random weights, {ours['dtype']}, {device}"
