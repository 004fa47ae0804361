"""One training run from its settings to its export: what `bark-jax finetune` calls."""

import contextlib
import dataclasses
import functools
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.checkpoint import load_config, load_source, load_stage
from bark_jax.config import BarkConfig, to_dict
from bark_jax.data.manifest import Manifest, TokenSpec, read_manifest
from bark_jax.data.records import open_source
from bark_jax.params import Params, flatten
from bark_jax.runtime.compiling import enable_cache
from bark_jax.runtime.execution import Execution
from bark_jax.runtime.paths import build_once
from bark_jax.sources.resolve import resolve_model
from bark_jax.text import Tokenizer
from bark_jax.tracking import NullTracker, make_tracker
from bark_jax.training.run.batches import Part, evaluation_batches, training_batches
from bark_jax.training.run.checkpoints import Checkpoints
from bark_jax.training.run.directory import ID_FILE, METRICS_FILE, open_run
from bark_jax.training.run.estimate import estimate
from bark_jax.training.run.export import export_model
from bark_jax.training.run.journal import Journal, Means
from bark_jax.training.run.loop import Loop, arrays, with_arrays
from bark_jax.training.run.mesh import make_mesh, on_every_process
from bark_jax.training.run.new_model import find_tokenizer, new_config, write_new_model
from bark_jax.training.run.samples import Sampler
from bark_jax.training.run.schedule import Clock, StopSignal
from bark_jax.training.run.settings import FinetuneSettings
from bark_jax.training.run.step import Recipe, Stepper, TrainState
from bark_jax.training.run.trainable import EMBEDDINGS, Trainable
from bark_jax.training.tasks.examples import Examples
from bark_jax.training.tasks.make import make_task
from bark_jax.training.tasks.task import LossSums, Task


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run, or its part between two stops, ended."""

    reason: str  # "steps", "time"; "signal": the same command resumes; "dry run"
    step: int
    eval_loss: float | None
    export: Path | None  # model directory, once the run is at its end


def finetune(settings: FinetuneSettings) -> Outcome:
    """Trains one stage, or resumes a run that was interrupted.

    Raises:
      ValueError: settings that do not fit each other, the data or the model; names them.
      OSError: data or a model are missing, or the disk is full.
      TrainingDiverged: the loss is not a finite number.
    """
    _join_processes(settings)
    enable_cache()
    manifest = read_manifest(settings.data)
    with _run_directory(settings) as out:
        init = find_init(settings, manifest, out)
        task = find_task(settings, load_config(init))
        check_data(manifest, task, init)
        with contextlib.ExitStack() as stack:
            loop = _assemble(settings, manifest, init, task, out, stack)
            reason = "dry run" if settings.dry_run else loop.run()
            if reason in ("signal", "dry run"):
                return Outcome(reason, loop.step, loop.eval_loss, None)
            _export(settings, loop, init, out)
        return Outcome(reason, loop.step, loop.eval_loss, out / "export")


def find_init(settings: FinetuneSettings, manifest: Manifest, out: Path) -> Path:
    """The model directory to start from; without a source a new one, made once inside the run's."""
    if settings.source is not None:
        return resolve_model(settings.source)
    sizes = settings.sizes
    given = sizes.pop("tokenizer", None)
    tokenizer = find_tokenizer(given, Path(settings.data).expanduser(), manifest.spec)
    config = new_config(sizes, manifest.spec, len(tokenizer.pieces))
    write = functools.partial(write_new_model, config=config, tokenizer=tokenizer)
    return build_once(out / "init", write)


def find_task(settings: FinetuneSettings, config: BarkConfig) -> Task:
    """The task of the settings, in their number format or the device's default."""
    options = {n: tuple(v) if isinstance(v, list) else v for n, v in settings.task.items()}
    if settings.stage != "codec":  # float32 always: rounding in it is audible
        options["execution"] = Execution.here(settings.dtype)
        options["remat"] = settings.remat
    return make_task(settings.stage, config, **options)


def find_recipe(settings: FinetuneSettings, task: Task) -> Recipe:
    """What a step does."""
    frozen = tuple(EMBEDDINGS if p == "embeddings" else p for p in settings.freeze)
    return Recipe(task, settings.optimizer, Trainable(frozen, settings.lora), settings.ema)


def check_data(manifest: Manifest, task: Task, init: Path) -> None:
    """Raises ValueError if the model would read another meaning into the records."""
    is_decoded = task.stage in ("coarse", "fine") and "codec" not in load_source(init).get(
        "untrained_stages", ()
    )
    codec = load_stage(init, "codec") if is_decoded else None
    spec = TokenSpec.of(task.cfg, Tokenizer.from_directory(init / "tokenizer"), codec)
    if not task.needs_audio:
        manifest.spec.check_fits(spec)
    elif manifest.spec.sample_rate != spec.sample_rate:
        raise ValueError(
            f"the data have {manifest.spec.sample_rate} samples per second, the codec "
            f"{spec.sample_rate}"
        )


def _assemble(
    settings: FinetuneSettings,
    manifest: Manifest,
    init: Path,
    task: Task,
    out: Path,
    stack: contextlib.ExitStack,
) -> Loop:
    """The loop at its first step, or at the last checkpoint's."""
    part = Part(jax.process_index(), jax.process_count())
    source = open_source(settings.data, "train", with_audio=task.needs_audio)
    examples = Examples(source, task)
    recipe = find_recipe(settings, task)
    key = jax.random.key(settings.seed)
    if settings.fresh or settings.source is None:
        params = task.init(jax.random.fold_in(key, 1))
    else:
        params = load_stage(init, settings.stage, "float32")
    state = recipe.init(params, key)
    _say_cost(settings, recipe, state, examples)
    mesh = make_mesh(settings.mesh, settings.batch_size // settings.accumulate)
    stepper = Stepper(recipe, mesh, state)
    state = stepper.place(state)
    replaced = frozenset(flatten(_updates(recipe, state, examples)))
    constants = _fingerprint(state, replaced)

    batches = training_batches(examples, settings.batch_size, settings.seed, part, settings.loader)
    checkpoints = stack.enter_context(Checkpoints(out / "checkpoints", settings.keep))
    host: dict[str, Any] = {}
    if (step := checkpoints.latest) is not None:
        restored, host = checkpoints.restore(step, arrays(state, replaced))
        if host["constants"] != constants:
            raise ValueError(f"model.source={settings.source!r} has changed since the run began")
        state = with_arrays(state, restored)
        batches.set_state(host["data"])
        print(f"going on after step {step}", file=sys.stderr)
    tracker, journal = NullTracker(), None
    if part.index == 0:
        journal = Journal(out / METRICS_FILE, step or 0)
        stack.callback(journal.close)
        run_id = (out / ID_FILE).read_text(encoding="utf-8")
        tracker = make_tracker(settings.tracking, out, to_dict(settings), run_id)
        stack.callback(tracker.finish)
    sampler = Sampler(
        init,
        settings.stage,
        out / "samples",
        settings.sample_texts,
        settings.sample_voice,
        settings.sample_judges,
        tracker,
    )
    return Loop(
        settings=settings,
        stepper=stepper,
        state=state,
        batches=batches,
        evaluation=_evaluation(settings, manifest, task, part),
        checkpoints=checkpoints,
        constants=constants,
        journal=journal,
        tracker=tracker,
        clock=Clock(settings.steps, settings.max_minutes, host.get("elapsed_s", 0.0)),
        stop=stack.enter_context(StopSignal().listening()),
        means=Means(host.get("means")),
        replaced=replaced,
        sample=functools.partial(_sample, stepper, sampler),
        step=step or 0,
        saved=step,
    )


def _say_cost(
    settings: FinetuneSettings, recipe: Recipe, state: TrainState, examples: Examples
) -> None:
    """Says on stderr what the run will take."""
    example = examples(0, np.random.default_rng(0))
    rows = settings.batch_size // settings.accumulate
    cost = estimate(recipe, state, example, micro=settings.accumulate, rows=rows)
    if jax.process_index() == 0:
        print(f"training     {settings.stage} on {jax.device_count()} devices", file=sys.stderr)
        print("\n".join(cost.lines()), file=sys.stderr)


def _evaluation(settings: FinetuneSettings, manifest: Manifest, task: Task, part: Part) -> list:
    """Batches of the eval split; says so if there is none."""
    if not manifest.n_records("eval"):
        print(f"data={settings.data} has no eval records: no eval_loss", file=sys.stderr)
        return []
    source = open_source(settings.data, "eval", with_audio=task.needs_audio)
    examples = Examples(source, task.for_evaluation())
    return evaluation_batches(examples, settings.batch_size, settings.eval_batches, part)


def _updates(recipe: Recipe, state: TrainState, examples: Examples) -> Params:
    """Shapes of the arrays that steps replace besides those that the optimiser updates."""
    example = examples(0, np.random.default_rng(0))
    batch = {name: jnp.asarray(array)[None] for name, array in example.items()}

    def loss(state: TrainState) -> LossSums:
        params = recipe.trainable.join(state.trainable, state.frozen)
        return recipe.task.loss(params, batch, jax.random.key(0), jnp.float32(0))

    return jax.eval_shape(loss, state).updates


def _fingerprint(state: TrainState, replaced: frozenset[str]) -> int:
    """A checksum of the arrays that never change, which checkpoints do not hold."""
    total = 0
    for name, leaf in sorted(flatten(state.frozen).items()):
        if name not in replaced:
            total = zlib.crc32(np.asarray(on_every_process(leaf)).tobytes(), total)
    return total


def _sample(stepper: Stepper, sampler: Sampler, state: TrainState, step: int) -> None:
    params = on_every_process(stepper.recipe.params(state))
    if jax.process_index() == 0:
        sampler(jax.tree.map(np.asarray, params), step)


def _export(settings: FinetuneSettings, loop: Loop, init: Path, out: Path) -> None:
    """Writes the model of the last step, or of the best."""
    state, step = loop.state, loop.step
    if settings.export == "best" and (best := loop.checkpoints.best()) is not None:
        restored, _ = loop.checkpoints.restore(best, arrays(state, loop.replaced))
        state, step = with_arrays(state, restored), best
    params = on_every_process(loop.stepper.recipe.params(state))
    trained = {"stage": settings.stage, "data": settings.data, "step": step}
    export_model(init, out / "export", settings.stage, params, trained)


@contextlib.contextmanager
def _run_directory(settings: FinetuneSettings) -> Iterator[Path]:
    """The run's directory; the first process holds its lock for all."""
    if jax.process_index() == 0:
        with open_run(settings) as out:
            yield out
    else:
        yield Path(settings.out).expanduser().resolve()


def _join_processes(settings: FinetuneSettings) -> None:
    distributed = settings.distributed
    if distributed.coordinator is not None and not jax.distributed.is_initialized():
        jax.distributed.initialize(
            distributed.coordinator, distributed.n_processes, distributed.process
        )
