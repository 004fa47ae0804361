"""How long a listener waits: streams of both modes beside the whole utterance."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks import load
from benchmarks.client import Worker
from benchmarks.progress import say
from benchmarks.settings import BenchmarkSettings

KINDS = ("whole", "exact", "low_latency")


def measure_first_audio(worker: Worker, settings: BenchmarkSettings) -> list[dict[str, Any]]:
    """Samples, one of each kind in every round: what is compared ran in the same minutes."""
    if not settings.stream_repeats:
        return []
    for kind in KINDS:  # compiles
        worker.ask("hear", mode=kind, streams=1, seed=0)
    return list(_samples(worker, settings))


def _samples(worker: Worker, settings: BenchmarkSettings) -> Iterator[dict[str, Any]]:
    for index in range(settings.stream_repeats):
        for streams in (1, settings.streams):
            for kind in KINDS:
                load.wait_until_quiet(settings.max_load, settings.patience_s)
                with load.watch(load.process_s(worker.pid)) as seen:
                    heard = worker.ask("hear", mode=kind, streams=streams, seed=1 + index)
                first_s, all_s = np.transpose(heard).tolist()
                say(f"{kind} x{streams}: first audio after {np.median(first_s):.3f} s")
                yield {
                    "kind": kind,
                    "streams": streams,
                    "first_s": first_s,
                    "all_s": all_s,
                    "load": seen.load,
                }


def summarise_first_audio(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Percentiles over all streams of a kind, and the first audio as a share of the whole's wait.

    The whole utterance of the same run is the measure: with others at work, seconds say little.
    """
    rows = []
    for streams in sorted({sample["streams"] for sample in samples}):
        for kind in KINDS:
            these = [s for s in samples if (s["kind"], s["streams"]) == (kind, streams)]
            first_s = np.concatenate([s["first_s"] for s in these])
            rows.append(
                {
                    "kind": kind,
                    "streams": streams,
                    "first_p50_s": float(np.percentile(first_s, 50)),
                    "first_p95_s": float(np.percentile(first_s, 95)),
                    "all_p50_s": float(np.median(np.concatenate([s["all_s"] for s in these]))),
                    "load": max(s["load"] for s in these),
                }
            )
            whole_s = next(r for r in rows if (r["kind"], r["streams"]) == ("whole", streams))
            rows[-1]["share_of_whole"] = rows[-1]["first_p50_s"] / whole_s["first_p50_s"]
    return rows
