"""A training step of each stage: positions per second, and its share of what the machine can do.

Weights and records are random, since a step's time does not depend on their values. On CPU, times
are CPU times of all cores together, so that other work on the machine matters less and a rate is
that of one core; the matrix product beside them is measured in the same way.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.config import STAGES, BarkConfig
from bark_jax.data.records import Record
from bark_jax.runtime.execution import Execution
from bark_jax.training.run.estimate import estimate
from bark_jax.training.run.mesh import MeshSettings, make_mesh, place_batch
from bark_jax.training.run.optimizer import OptimizerSettings
from bark_jax.training.run.step import Recipe, Stepper
from bark_jax.training.run.trainable import Trainable
from bark_jax.training.tasks.make import make_task
from bark_jax.training.tasks.task import Task
from benchmarks.hardware import commit, hardware
from benchmarks.settings import SIZES
from benchmarks.work import model_config

PEAK_PRODUCT = {"cpu": (1024, 768, 3072)}  # as in benchmarks/machine.py
LARGE_PRODUCT = (8192, 8192, 8192)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Fields of configs/train/benchmark_training.yaml."""

    size: str = "small"  # tiny, small, large: layers and widths; vocabularies are Bark's
    stages: tuple[str, ...] = STAGES
    rows: int = 1  # of a step
    repeats: int = 5
    dtype: str | None = None  # of products; None is the device's default
    remat: bool = False

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise ValueError(f"size={self.size!r} is not one of {tuple(SIZES)}")
        if unknown := set(self.stages) - set(STAGES):
            raise ValueError(f"stages={sorted(unknown)} are not among {STAGES}")
        for name in ("rows", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}, want at least 1")


def run(settings: TrainingSettings) -> dict[str, Any]:
    """Measures every stage."""
    dtype = Execution.here(settings.dtype).dtypes.compute
    peak = _peak(dtype, settings.repeats)
    stages = {stage: _measure(settings, stage, dtype, peak) for stage in settings.stages}
    return {
        "settings": dataclasses.asdict(settings) | {"dtype": dtype},
        "peak_flops_per_s": peak,
        "stages": stages,
        "hardware": hardware(),
        **commit(),
    }


def render(result: dict[str, Any]) -> str:
    """The result as a table in Markdown."""
    lines = [
        "| stage | GFLOP a step | seconds | positions/s | share of the matrix product's speed |",
        "|---|---|---|---|---|",
    ]
    for stage, row in result["stages"].items():
        lines.append(
            f"| {stage} | {row['flops'] / 1e9:.1f} | {row['step_s']:.3f} | "
            f"{row['positions_per_s']:.0f} | {row['share_of_peak']:.0%} |"
        )
    return "\n".join(lines)


def _measure(settings: TrainingSettings, stage: str, dtype: str, peak: float) -> dict[str, float]:
    task = _task(settings, stage, dtype)
    example = task.example(_record(task.cfg), None, np.random.default_rng(0))
    stacked = {name: np.stack([a] * settings.rows)[None, None] for name, a in example.items()}
    recipe = Recipe(task, OptimizerSettings(), Trainable(), ema=0.0)
    key = jax.random.key(0)
    state = recipe.init(task.init(key), key)
    cost = estimate(recipe, state, example, micro=1, rows=settings.rows)
    stepper = Stepper(recipe, make_mesh(MeshSettings(), settings.rows), state)
    state, batch = stepper.place(state), place_batch(stepper.mesh, stacked)

    def step() -> None:
        nonlocal state
        state, metrics = stepper.run(state, batch, np.zeros(1, np.float32))
        jax.block_until_ready(metrics)

    step_s = statistics.median(_times(step, settings.repeats))
    return {
        "flops": cost.flops,
        "step_s": step_s,
        "positions_per_s": settings.rows * _positions(task) / step_s,
        "share_of_peak": cost.flops / step_s / peak,
    }


def _task(settings: TrainingSettings, stage: str, dtype: str) -> Task:
    options = (
        {} if stage == "codec" else {"execution": Execution.here(dtype), "remat": settings.remat}
    )
    return make_task(stage, model_config(settings.size), **options)


def _record(cfg: BarkConfig) -> Record:
    """Random tokens of the longest utterance that the model can make."""
    rng, layout = np.random.default_rng(0), cfg.tokens
    n_semantic = layout.max_semantic_tokens
    n_frames = int(n_semantic * layout.coarse_rate_hz / layout.semantic_rate_hz)
    shape = (layout.n_fine_codebooks, n_frames)
    return Record(
        id="random",
        text="",
        speaker="",
        text_ids=rng.integers(0, 100_000, 40).astype(np.int32),
        semantic=rng.integers(0, layout.semantic_vocab_size, n_semantic).astype(np.int32),
        codes=rng.integers(0, layout.codebook_size, shape).astype(np.int32),
        audio=rng.uniform(-1, 1, n_frames * cfg.codec.hop_length).astype(np.float32),
    )


def _positions(task: Task) -> int:
    """Positions of a row in the transformer; frames, for the codec."""
    layout = task.cfg.tokens
    n_coarse = layout.max_coarse_history + layout.coarse_window
    return {
        "semantic": layout.text_length + layout.max_semantic_tokens,
        "coarse": layout.coarse_semantic_length + n_coarse,
        "fine": layout.fine_window,
        "codec": int(getattr(task, "crop_s", 0) * layout.coarse_rate_hz),
    }[task.stage]


def _peak(dtype: str, repeats: int) -> float:
    """Additions and multiplications per second of one large product."""
    m, k, n = PEAK_PRODUCT.get(jax.default_backend(), LARGE_PRODUCT)
    a, b = jnp.ones((m, k), dtype), jnp.ones((k, n), dtype)
    product = jax.jit(lambda a, b: a @ b)
    return 2 * m * k * n / min(_times(lambda: product(a, b).block_until_ready(), 4 * repeats))


def _times(work: Callable[[], object], repeats: int) -> list[float]:
    """Seconds of each run after the first, which compiles; on CPU, CPU time of all cores."""
    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
    work()
    times = []
    for _ in range(repeats):
        begin = clock()
        work()
        times.append(clock() - begin)
    return times
