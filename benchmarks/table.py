"""A result as text."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bark_jax.config import WEIGHTS

Row = Mapping[str, Any]
MARK = "!"  # after a figure from a sample under load, where there are no better ones


def render(result: Mapping[str, Any]) -> str:
    """Everything that a reader wants to know, most important first."""
    return "\n".join(_lines(result))


def _lines(result: Mapping[str, Any]) -> Iterator[str]:
    summary, settings = result["summary"], result["settings"]
    yield from _header(result)
    yield "\nOne row, peers in turn"
    yield from _columns(STAGE_COLUMNS, summary["stages"])
    if summary["batches"]:
        yield "\nBatches of ours"
        yield from _columns(BATCH_COLUMNS, summary["batches"])
    if summary.get("first_audio"):
        yield "\nFirst audio of ours, streams at once, beside the whole utterance [s]"
        yield from _columns(FIRST_AUDIO_COLUMNS, summary["first_audio"])
    yield "\nCompiling, once per shape [s]"
    yield from _columns(COMPILE_COLUMNS, summary["compiling"])
    yield "\nMemory [GiB]"
    yield from _columns(MEMORY_COLUMNS, [{"who": k, **v} for k, v in result["memory"].items()])
    if summary["cold_start"]:
        cold = summary["cold_start"].items()
        yield "\nWhole processes, caches warm"
        yield from _columns(COLD_COLUMNS, [{"what": k, "seconds": v} for k, v in cold])
    load = summary["load"]
    yield (
        f"\n{load['dropped']} of {load['samples']} samples dropped: others used more than "
        f"{settings['max_load']} CPUs."
    )
    if MARK in "".join(_columns(STAGE_COLUMNS, summary["stages"])):
        yield f"{MARK} no sample was quiet; this is the one under the least load."


def _header(result: Mapping[str, Any]) -> Iterator[str]:
    hardware, work = result["hardware"], result["work"]
    commit = (result["commit"] or "unknown")[:10] + (" + changes" if result["dirty"] else "")
    yield f"bark_jax {commit}, {result['date']}"
    yield (
        f"{hardware['cpu']}, {hardware['cores']} cores, {hardware['memory_gib']} GiB, "
        f"Python {hardware['python']}"
    )
    yield (
        f"{result['settings']['size']}: {work['semantic_tokens']} semantic and "
        f"{work['coarse_tokens']} coarse tokens, {work['audio_s']:.2f} s of audio"
    )
    for peer, about in result["peers"].items():
        versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
        yield (
            f"  {peer}: {about['dtype']} on {about['device']}, {about['threads']} threads, "
            f"loaded in {about['load_s']:.1f} s; {versions}"
        )
    for library, found in result["machine"].items():
        parts = [f"{k[:4]} {found[k] / 1e9:.1f} GB/s" for k in MEMORY_RATES if k in found]
        products = found.get("matmul_per_s", {}).items()
        parts += [f"matmul {dtype} {rate / 1e9:.0f} GFLOP/s" for dtype, rate in products]
        parts += [f"others used {found['load']:.2f} CPUs"]
        yield f"  machine, {library}: {', '.join(parts)}"


def _columns(columns: Sequence[tuple[str, Callable[[Row], str]]], rows: Sequence[Row]):
    cells = [[title for title, _ in columns]]
    cells += [[cell(row) for _, cell in columns] for row in rows]
    used = [i for i in range(len(columns)) if any(line[i] for line in cells[1:])]
    widths = {i: max(len(line[i]) for line in cells) for i in used}
    n_left = sum(title in ("stage", "peer", "who", "what") for title, _ in columns)
    for line in cells:
        padded = [
            line[i].ljust(widths[i]) if i < n_left else line[i].rjust(widths[i]) for i in used
        ]
        yield "  ".join(padded).rstrip()


def _number(name: str, digits: int, scale: float = 1.0) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        value = row.get(name)
        return "" if value is None else f"{value * scale:.{digits}f}"

    return cell


def _share(name: str) -> Callable[[Row], str]:
    return lambda row: f"{100 * row[name]:.0f} %" if name in row else ""


def _quote(name: str, digits: int, field: str = "median") -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        if name not in row:
            return ""
        return f"{row[name][field]:.{digits}f}{MARK if row[name]['is_disturbed'] else ''}"

    return cell


def _kept(row: Row) -> str:
    return f"{row['seconds']['kept']}/{row['seconds']['kept'] + row['seconds']['dropped']}"


MEMORY_RATES = ("read_bytes_per_s", "copy_bytes_per_s")
RATES = [
    ("s", _quote("seconds", 3)),
    ("least", _quote("seconds", 3, "least")),
    ("kept", _kept),
    ("ms/step", _number("ms_per_step", 2)),
    ("tokens/s", _number("tokens_per_s", 1)),
    ("GB/s", _number("bytes_per_s", 1, 1e-9)),
    ("of read", _share("share_of_read")),
    ("of copy", _share("share_of_copy")),
    ("GFLOP/s", _number("operations_per_s", 0, 1e-9)),
    ("of matmul", _share("share_of_matmul")),
]
STAGE_COLUMNS = [
    ("stage", lambda row: row["stage"]),
    ("peer", lambda row: row["peer"]),
    *RATES,
    ("s per s of audio", _number("real_time_factor", 3)),
    ("ours is faster by", _quote("ours_is_faster_by", 2)),
    *((f"with {form}", _quote(f"ours-{form}_is_faster_by", 2)) for form in WEIGHTS),
]
BATCH_COLUMNS = [
    ("stage", lambda row: row["stage"]),
    ("peer", lambda row: row["peer"]),
    ("rows", lambda row: str(row["rows"])),
    *RATES,
    ("roofline", _number("roofline_tokens_per_s", 1)),
    ("audio s/s", _number("audio_s_per_s", 3)),
    ("against solo", _quote("against_solo", 2)),
]
FIRST_AUDIO_COLUMNS = [
    ("what", lambda row: row["kind"]),
    ("streams", lambda row: str(row["streams"])),
    ("first p50", _number("first_p50_s", 3)),
    ("p95", _number("first_p95_s", 3)),
    ("of the whole", _share("share_of_whole")),
    ("all p50", _number("all_p50_s", 3)),
    ("others' CPUs", _number("load", 2)),
]
COMPILE_COLUMNS = [
    ("stage", lambda row: row["stage"]),
    ("cold", _number("cold_s", 2)),
    ("cached", _number("cached_s", 2)),
]
MEMORY_COLUMNS = [
    ("who", lambda row: row["who"]),
    ("peak RSS", _number("peak_rss", 2, 2**-30)),
    ("RSS after", _number("rss", 2, 2**-30)),
    ("device peak", _number("device_peak", 2, 2**-30)),
]
COLD_COLUMNS = [
    ("what", lambda row: row["what"]),
    ("s", _quote("seconds", 2)),
    ("least", _quote("seconds", 2, "least")),
    ("kept", _kept),
]
