"""One benchmark run: peers side by side, then batches, then whole processes; one result."""

import contextlib
import dataclasses
import datetime
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bark_jax.stages.semantic import max_tokens
from benchmarks import machine
from benchmarks.client import Worker, environment
from benchmarks.coldstart import measure_cold_starts
from benchmarks.first_audio import measure_first_audio, summarise_first_audio
from benchmarks.hardware import commit, hardware, host_kind
from benchmarks.load import children_s, wait_until_quiet, watch
from benchmarks.progress import say
from benchmarks.rounds import measure_batches, measure_peers, warm_up
from benchmarks.samples import Sample
from benchmarks.settings import ROOT, BenchmarkSettings, check_installed
from benchmarks.summary import (
    Roof,
    count_dropped,
    summarise_batches,
    summarise_cold_starts,
    summarise_compiling,
    summarise_peers,
)
from benchmarks.weights import ensure_weights
from benchmarks.work import Formats, Task, model_config

SCHEMA = 1


def run(settings: BenchmarkSettings) -> dict[str, Any]:
    """Measures everything; the result is plain data.

    Raises:
      ModuleNotFoundError: a peer is not installed; nothing has run.
      RuntimeError: a peer failed, or did not do the work that it should.
    """
    check_installed(settings)
    say("making weights, if they are not there yet")
    folders = ensure_weights(settings)
    config = model_config(settings.size)
    task = Task(config, max_tokens(settings.audio_s, config.tokens))
    tasks = [dataclasses.replace(task, rows=rows) for rows in sorted(settings.batches)]
    env = environment(settings.device)
    result: dict[str, Any] = {
        "schema": SCHEMA,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **commit(),
        "hardware": hardware(),
        "settings": dataclasses.asdict(settings) | {"out": None, "models": None},
        "work": describe(task),
        "machine": measure_machine(settings, env),
    }
    with tempfile.TemporaryDirectory() as cache, contextlib.ExitStack() as stack:
        env = environment(settings.device, cache)
        first = {"cold": run_cold(folders, task, settings, env)}
        workers: dict[str, Worker] = {}
        about: dict[str, dict[str, Any]] = {}
        memory: dict[str, dict[str, int | None]] = {}
        for peer in settings.all_peers:
            workers[peer] = stack.enter_context(Worker(peer, env))
            about[peer] = load(workers[peer], folders, task, settings)
            memory[f"{peer}, loaded"] = workers[peer].memory()
            calls = warm_up(workers[peer], task)
            if peer == "ours":
                first["cached"] = calls
        samples = measure_peers(workers, task, settings)
        memory |= {f"{peer}, one row": worker.memory() for peer, worker in workers.items()}
        samples += measure_batches([workers[peer] for peer in settings.own], tasks, settings)
        heard = measure_first_audio(workers["ours"], settings)
        if settings.batch_repeats:
            memory |= {f"{peer}, batches": workers[peer].memory() for peer in settings.own}
    if settings.cold_repeats:
        say("whole processes")
        samples += measure_cold_starts(settings, environment(settings.device))
    result |= {"peers": about, "first_calls_s": first, "memory": memory}
    result["first_audio"] = heard
    result["summary"] = summarise(result, samples, task, tasks, settings)
    result["samples"] = [dataclasses.asdict(sample) for sample in samples]
    return result


def summarise(
    result: Mapping[str, Any],
    samples: list[Sample],
    task: Task,
    tasks: list[Task],
    settings: BenchmarkSettings,
) -> dict[str, Any]:
    """What follows from the samples; it can all be recomputed from the result."""
    roof, most = Roof.of(result["machine"]), settings.max_load
    formats = {peer: Formats.of(about) for peer, about in result["peers"].items()}
    rows = summarise_peers(samples, task, formats, roof, most)
    return {
        "stages": rows,
        "batches": summarise_batches(samples, tasks, formats, roof, most),
        "first_audio": summarise_first_audio(result["first_audio"]),
        "compiling": summarise_compiling(result["first_calls_s"], rows),
        "cold_start": summarise_cold_starts(samples, most),
        "load": count_dropped(samples, settings),
    }


def measure_machine(settings: BenchmarkSettings, env: dict[str, str]) -> dict[str, Any]:
    libraries = ["numpy", "jax", *(["torch"] if settings.peers != ("ours",) else [])]
    found: dict[str, Any] = {}
    for library in libraries:
        say(f"what the machine can do, with {library}")
        wait_until_quiet(settings.max_load, settings.patience_s)
        with watch(children_s) as seen:
            found[library] = machine.measure(library, settings.machine_gib, env)
        found[library]["load"] = seen.load
    return found


def run_cold(
    folders: Mapping[str, str], task: Task, settings: BenchmarkSettings, env: dict[str, str]
) -> dict[str, float]:
    """Seconds of our first calls with an empty compile cache, in a process that then ends."""
    with Worker("ours", env) as worker:
        load(worker, folders, task, settings)
        return warm_up(worker, task)


def load(
    worker: Worker, folders: Mapping[str, str], task: Task, settings: BenchmarkSettings
) -> dict[str, Any]:
    say(f"loading {worker.peer}")
    return worker.ask(
        "load",
        folder=folders[worker.peer],
        text=settings.text,
        audio_s=settings.audio_s,
        n_semantic=task.n_semantic,
        dtype=settings.dtype,
    )


def describe(task: Task) -> dict[str, Any]:
    return {
        "semantic_tokens": task.n_semantic,
        "coarse_tokens": task.n_coarse,
        "frames": task.n_frames,
        "audio_s": task.audio_s,
    }


def write(result: Mapping[str, Any], settings: BenchmarkSettings) -> Path:
    """Writes the result as one line of JSON; returns where."""
    ours = result["peers"]["ours"]
    kind = host_kind(result["hardware"], ours["device"], ours["platform"])
    date = result["date"][:16].replace(":", "").replace("T", "-")
    path = ROOT / settings.out / f"{date}-{kind}-{settings.size}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result) + "\n", encoding="utf-8")
    return path
