"""The order of measurements: what is compared runs right after one another, A B A B …"""

from collections.abc import Mapping, Sequence

from bark_jax.config import STAGES
from benchmarks import load
from benchmarks.client import Worker
from benchmarks.progress import say
from benchmarks.samples import MEASURED, Sample
from benchmarks.settings import BenchmarkSettings
from benchmarks.work import Task


def warm_up(worker: Worker, task: Task) -> dict[str, float]:
    """Runs every stage once, which compiles everything; returns the seconds.

    Parts of stages come last, so that compiling what they share counts for the whole stages.
    """
    seconds: dict[str, float] = {}
    for stage in dict.fromkeys((*STAGES, *MEASURED)):
        seconds[stage] = _run(worker, stage, task, seed=0)
        say(f"first {stage} {worker.peer} x{task.rows}: {seconds[stage]:.3f} s")
    return seconds


def measure_peers(
    workers: Mapping[str, Worker], task: Task, settings: BenchmarkSettings
) -> list[Sample]:
    """Samples of one row. In every round all peers run a stage in turn, then the next stage."""
    return [
        _sample(workers[peer], stage, task, index, "solo", settings)
        for index in range(settings.repeats)
        for stage in MEASURED
        for peer in workers
    ]


def measure_batches(
    workers: Sequence[Worker], tasks: Sequence[Task], settings: BenchmarkSettings
) -> list[Sample]:
    """Samples of ours. In every round all batch sizes run a stage in turn, then the next stage."""
    if settings.batch_repeats:
        for worker in workers:
            for task in tasks:
                warm_up(worker, task)
    return [
        _sample(worker, stage, task, index, "batch", settings)
        for index in range(settings.batch_repeats)
        for stage in MEASURED
        for task in tasks
        for worker in workers
    ]


def _sample(
    worker: Worker, stage: str, task: Task, index: int, phase: str, settings: BenchmarkSettings
) -> Sample:
    load.wait_until_quiet(settings.max_load, settings.patience_s)
    with load.watch(load.process_s(worker.pid)) as seen:
        seconds = _run(worker, stage, task, seed=1 + index)
    say(
        f"{phase} {index} {stage} {worker.peer} x{task.rows}: {seconds:.3f} s, "
        f"others used {seen.load:.2f} CPUs"
    )
    return Sample(seconds, seen.load, index, worker.peer, stage, task.rows, phase)


def _run(worker: Worker, stage: str, task: Task, seed: int) -> float:
    """Seconds of one run; checks that it made what the task says."""
    reply = worker.ask("stage", stage=stage, rows=task.rows, seed=seed)
    made, wanted = tuple(reply["shape"]), task.shapes()[stage]
    if made != wanted:
        raise RuntimeError(f"{worker.peer} made {made} in the {stage} stage, want {wanted}")
    return reply["seconds"]
