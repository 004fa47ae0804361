"""Samples, which of them count, and what is quoted from them."""

import dataclasses
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from bark_jax.config import STAGES

MEASURED = ("semantic_prefill", "semantic", "coarse_prefill", "coarse", "fine", "codec")


@dataclasses.dataclass(frozen=True)
class Sample:
    """One timing, and how busy others kept the CPUs meanwhile."""

    seconds: float
    load: float  # CPUs
    round: int = 0
    peer: str = "ours"
    stage: str = ""
    rows: int = 1
    phase: str = "solo"  # "solo": all peers in turn; "batch": ours at all batch sizes in turn


@dataclasses.dataclass(frozen=True)
class Quote:
    """The figures quoted from some samples."""

    median: float
    least: float
    kept: int
    dropped: int  # because others kept the CPUs busy
    is_disturbed: bool  # all were dropped: this is the quietest one

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def quote(values: Sequence[tuple[float, float]], max_load: float) -> Quote | None:
    """Median and minimum of the values whose load is at most `max_load`; None without values.

    Args:
      values: pairs of a value and the load under which it was measured.
    """
    if not values:
        return None
    kept = [value for value, load in values if load <= max_load]
    if kept:
        return Quote(statistics.median(kept), min(kept), len(kept), len(values) - len(kept), False)
    quietest = min(values, key=lambda pair: pair[1])[0]
    return Quote(quietest, quietest, 0, len(values), True)


def select(samples: Iterable[Sample], **wanted: Any) -> list[Sample]:
    """The samples whose fields have the wanted values."""
    return [s for s in samples if all(getattr(s, k) == v for k, v in wanted.items())]


def quote_seconds(samples: Iterable[Sample], max_load: float) -> Quote | None:
    return quote([(sample.seconds, sample.load) for sample in samples], max_load)


def quote_ratio(
    over: Iterable[Sample], under: Iterable[Sample], max_load: float, factor: float = 1.0
) -> Quote | None:
    """`factor * over / under`, round by round; a pair is as disturbed as its worse half."""
    by_round = {sample.round: sample for sample in under}
    pairs = [(s, by_round[s.round]) for s in over if s.round in by_round]
    return quote(
        [(factor * a.seconds / b.seconds, max(a.load, b.load)) for a, b in pairs], max_load
    )


def derive(samples: Sequence[Sample], one_prefill: set[str]) -> list[Sample]:
    """Adds what follows from measured stages: decoding without its prefill, and the total.

    Args:
      one_prefill: peers that read the coarse context once, so that a prefill can be subtracted.
    """
    derived: list[Sample] = []
    by_run: dict[tuple[Any, ...], dict[str, Sample]] = {}
    for s in samples:
        by_run.setdefault((s.phase, s.round, s.peer, s.rows), {})[s.stage] = s
    for (_, _, peer, _), run in by_run.items():
        for stage in ("semantic", "coarse"):
            parts = [run.get(stage), run.get(f"{stage}_prefill")]
            if stage == "semantic" or peer in one_prefill:
                derived += _combine(f"{stage}_decode", parts, (1, -1))
        derived += _combine("total", [run.get(stage) for stage in STAGES], (1, 1, 1, 1))
    return [*samples, *derived]


def _combine(name: str, parts: Sequence[Sample | None], signs: Sequence[int]) -> list[Sample]:
    there = [part for part in parts if part is not None]
    if len(there) < len(parts):
        return []
    seconds = sum(sign * part.seconds for sign, part in zip(signs, there, strict=True))
    load = max(part.load for part in there)
    if seconds <= 0:  # a disturbed prefill took longer than the whole stage
        return []
    return [dataclasses.replace(there[0], stage=name, seconds=seconds, load=load)]
