"""From samples to figures: rates, shares of what the machine can do, ratios."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from bark_jax.config import STAGES
from benchmarks.samples import (
    MEASURED,
    Quote,
    Sample,
    derive,
    quote_ratio,
    quote_seconds,
    select,
)
from benchmarks.settings import BenchmarkSettings
from benchmarks.work import Formats, Task, Work

ROWS = (
    "semantic_prefill", "semantic_decode", "semantic", "coarse_prefill", "coarse_decode", "coarse",
    "fine", "codec", "total",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Roof:
    """What the machine can do at best; the units are per second."""

    read_bytes: float
    copy_bytes: float
    operations: Mapping[str, float]  # by dtype

    @classmethod
    def of(cls, machine: Mapping[str, Any]) -> "Roof":
        """The best of what was measured; memory is that of the accelerator if there is one."""
        memory = machine["jax"] if "read_bytes_per_s" in machine["jax"] else machine["numpy"]
        products = [found["matmul_per_s"] for found in machine.values() if "matmul_per_s" in found]
        dtypes = products[0].keys()
        return cls(
            memory["read_bytes_per_s"],
            memory["copy_bytes_per_s"],
            {dtype: max(product[dtype] for product in products) for dtype in dtypes},
        )


def prefills(peer: str, task: Task) -> int:
    """How often a peer reads the coarse context (the first window's, of a text without a voice)."""
    layout = task.config.tokens
    if peer.startswith("ours") and task.n_coarse <= layout.max_coarse_history:
        return 1
    return -(-task.n_coarse // layout.coarse_window)


def rates(stage: str, seconds: float, task: Task, formats: Formats, roof: Roof) -> dict[str, float]:
    """The rates that `seconds` for a stage mean, those that make sense for it."""
    work: Work = task.work(formats)[stage]
    operations_per_s = roof.operations[formats.dtype]
    found: dict[str, float] = {"real_time_factor": seconds / task.audio_s}
    if stage not in ("codec", "total"):
        found["ms_per_step"] = 1000 * seconds / work.steps
        found["tokens_per_s"] = work.tokens / seconds
    if stage == "total":
        found["audio_s_per_s"] = task.audio_s / seconds
    if work.read_bytes:
        found["bytes_per_s"] = work.read_bytes / seconds
        found["share_of_read"] = found["bytes_per_s"] / roof.read_bytes
        found["share_of_copy"] = found["bytes_per_s"] / roof.copy_bytes
    elif work.operations:
        found["operations_per_s"] = work.operations / seconds
        found["share_of_matmul"] = found["operations_per_s"] / operations_per_s
    if least_s := work.least_s(roof.read_bytes, operations_per_s):
        found["roofline_tokens_per_s"] = work.tokens / least_s
    return found


def summarise_peers(
    samples: Sequence[Sample],
    task: Task,
    formats: Mapping[str, Formats],
    roof: Roof,
    max_load: float,
) -> list[dict[str, Any]]:
    """One entry per stage and peer, stages first; ours, in each format, against all others."""
    solo = derive(select(samples, phase="solo"), {p for p in formats if prefills(p, task) == 1})
    rows: list[dict[str, Any]] = []
    for stage in ROWS:
        own = {p: select(solo, stage=stage, peer=p) for p in formats if p.startswith("ours")}
        for peer in formats:
            theirs = select(solo, stage=stage, peer=peer)
            quoted = quote_seconds(theirs, max_load)
            if quoted is None:
                continue
            ratios = {
                f"{name}_is_faster_by": ratio.to_dict()
                for name, ours in own.items()
                if peer != name and (ratio := quote_ratio(theirs, ours, max_load)) is not None
            }
            rows.append(
                {"stage": stage, "peer": peer, "seconds": quoted.to_dict()}
                | rates(stage, quoted.median, task, formats[peer], roof)
                | ratios
            )
    return rows


def summarise_batches(
    samples: Sequence[Sample],
    tasks: Sequence[Task],
    formats: Mapping[str, Formats],
    roof: Roof,
    max_load: float,
) -> list[dict[str, Any]]:
    """One entry per stage, format and batch size; `against_solo`: throughput against one row."""
    own = [peer for peer in formats if peer.startswith("ours")]
    batch = derive(
        select(samples, phase="batch"), {peer for peer in own if prefills(peer, tasks[0]) == 1}
    )
    rows: list[dict[str, Any]] = []
    for stage, peer in itertools.product(ROWS, own):
        solo = select(batch, stage=stage, peer=peer, rows=1)
        for task in tasks:
            these = select(batch, stage=stage, peer=peer, rows=task.rows)
            quoted = quote_seconds(these, max_load)
            ratio = quote_ratio(solo, these, max_load, factor=task.rows)
            if quoted is None or ratio is None:
                continue
            rows.append(
                {"stage": stage, "peer": peer, "rows": task.rows, "seconds": quoted.to_dict()}
                | rates(stage, quoted.median, task, formats[peer], roof)
                | {"against_solo": ratio.to_dict()}
            )
    return rows


def summarise_compiling(
    first: Mapping[str, Mapping[str, float]], rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Our first calls minus a later call, by stage.

    Args:
      first: seconds of the first calls, "cold" and "cached" (a second process).
      rows: from `summarise_peers`.
    """
    later = {r["stage"]: r["seconds"]["median"] for r in rows if r["peer"] == "ours"}
    took = {
        kind: {stage: max(0.0, seconds[stage] - later[stage]) for stage in MEASURED}
        for kind, seconds in first.items()
    }
    for by_stage in took.values():
        by_stage["total"] = sum(by_stage[stage] for stage in STAGES)
    return [
        {"stage": stage} | {f"{kind}_s": by_stage[stage] for kind, by_stage in took.items()}
        for stage in (*MEASURED, "total")
    ]


def summarise_cold_starts(samples: Sequence[Sample], max_load: float) -> dict[str, Any]:
    """Seconds of each command."""
    cold = select(samples, phase="cold")
    quotes: dict[str, Quote | None] = {
        name: quote_seconds(select(cold, stage=name), max_load)
        for name in dict.fromkeys(sample.stage for sample in cold)
    }
    return {name: quoted.to_dict() for name, quoted in quotes.items() if quoted}


def count_dropped(samples: Sequence[Sample], settings: BenchmarkSettings) -> dict[str, int]:
    """How many samples there are, and how many were measured while others used the CPUs."""
    dropped = sum(sample.load > settings.max_load for sample in samples)
    return {"samples": len(samples), "dropped": dropped}
