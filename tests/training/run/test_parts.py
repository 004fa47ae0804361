"""The parts of a training run, each alone: nothing here compiles a whole step."""

import json
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bark_jax.data.records import open_source
from bark_jax.runtime.lines import read_rows
from bark_jax.tracking import NullTracker
from bark_jax.training.run.batches import LoaderSettings, Part, evaluation_batches, training_batches
from bark_jax.training.run.checkpoints import Checkpoints
from bark_jax.training.run.estimate import count_flops
from bark_jax.training.run.journal import Journal, Means
from bark_jax.training.run.loop import Loop, TrainingDiverged
from bark_jax.training.run.mesh import MeshSettings, make_mesh, state_sharding
from bark_jax.training.run.optimizer import (
    OptimizerSettings,
    descent,
    learning_rate,
    make_optimizer,
)
from bark_jax.training.run.schedule import Clock, StopSignal
from bark_jax.training.run.settings import FinetuneSettings
from bark_jax.training.run.step import TrainState
from bark_jax.training.run.trainable import DOWN, EMBEDDINGS, UP, LoraSettings, Trainable
from bark_jax.training.tasks.examples import Examples
from bark_jax.training.tasks.make import make_task
from tests import tiny, tones

TASK = make_task("fine", tiny.CONFIG, window=16)
LOADER = LoaderSettings(threads=1, prefetch=8)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tones.write_data(tmp_path_factory.mktemp("parts") / "data", n_train=12, n_eval=5)


@pytest.fixture
def examples(data):
    return Examples(open_source(data, "train"), TASK)


def as_set(batch):
    return {row.tobytes() for row in batch["codes"]}


# --- batches ---------------------------------------------------------------------------------


def test_an_epoch_holds_every_record_once(examples):
    seen = set()
    batches = training_batches(examples, 4, seed=1, part=Part(), settings=LOADER)
    first = [next(batches) for _ in range(3)]
    for batch in first:
        seen |= {tuple(row[:, 0]) for row in batch["codes"]}  # windows of one record overlap
    assert len(first[0]["codes"]) == 4
    again = training_batches(examples, 4, seed=1, part=Part(), settings=LOADER)
    other = training_batches(examples, 4, seed=2, part=Part(), settings=LOADER)
    np.testing.assert_array_equal(next(again)["codes"], first[0]["codes"])
    assert as_set(next(other)) != as_set(first[0])


def test_batches_go_on_where_their_state_says(examples):
    batches = training_batches(examples, 4, seed=1, part=Part(), settings=LOADER)
    for _ in range(5):  # into the second epoch
        next(batches)
    state = json.loads(json.dumps(batches.get_state()))
    expected = next(batches)
    resumed = training_batches(examples, 4, seed=1, part=Part(), settings=LOADER)
    resumed.set_state(state)
    for name, rows in next(resumed).items():
        np.testing.assert_array_equal(rows, expected[name])


def test_processes_share_the_rows_of_each_global_batch(examples):
    whole = training_batches(examples, 4, seed=1, part=Part(), settings=LOADER)
    parts = [
        training_batches(examples, 4, seed=1, part=Part(i, 2), settings=LOADER) for i in (0, 1)
    ]
    for _ in range(4):
        of_parts = [as_set(next(part)) for part in parts]
        assert of_parts[0] | of_parts[1] == as_set(next(whole))


def test_evaluation_is_always_on_the_same_rows(data):
    examples = Examples(open_source(data, "eval"), TASK.for_evaluation())
    twice = [evaluation_batches(examples, 4, limit=8, part=Part()) for _ in range(2)]
    assert [len(batch["codes"]) for batch in twice[0]] == [4, 4]  # 5 records, some again
    for one, other in zip(*twice, strict=True):
        np.testing.assert_array_equal(one["codes"], other["codes"])


def test_a_damaged_record_stops_the_run_with_its_name(data, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    path = next((tmp_path / "data").glob("train-tokens*"))
    content = bytearray(path.read_bytes())
    content[300:310] = bytes(byte ^ 1 for byte in content[300:310])
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"record \d+ of the train records .* is damaged"):
        broken = Examples(open_source(tmp_path / "data", "train"), TASK)
        batches = training_batches(broken, 4, seed=1, part=Part(), settings=LOADER)
        for _ in range(6):
            next(batches)


# --- the loop, on a stepper whose losses are given ----------------------------------------------


class GivenLosses:
    """Stands in for the compiled steps."""

    def __init__(self, losses):
        self.losses, self.mesh = iter(losses), make_mesh(MeshSettings(), rows=2)

    def run(self, state, batches, progress_K):
        loss = np.array([next(self.losses)], np.float32)
        names = ("grad_norm", "learning_rate", "targets")
        return state, {"loss": loss, **{name: np.ones(1, np.float32) for name in names}}

    def is_finite(self, state):
        return True


def loop_of(home, examples, checkpoints, losses, **changes):
    settings = FinetuneSettings(
        stage="fine", data="D", model={"source": "M"}, out=str(home), batch_size=2,
        steps=len(losses),
        **{"save_every": 2, "eval_every": 100, "log_every": 1, **changes},
    )  # fmt: skip
    return Loop(
        settings=settings,
        stepper=GivenLosses(losses),
        state=TrainState(jnp.int32(0), jnp.zeros(2, jnp.uint32), {"w": jnp.ones(3)}, {}, (), {}),
        batches=training_batches(examples, 2, seed=1, part=Part(), settings=LOADER),
        evaluation=[],
        checkpoints=checkpoints,
        constants=0,
        journal=Journal(home / "metrics.jsonl", 0),
        tracker=NullTracker(),
        clock=Clock(len(losses), None, 0.0),
        stop=StopSignal(),
        means=Means(),
        replaced=frozenset(),
        sample=lambda state, step: None,
    )


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_checkpoint(examples, tmp_path):
    with Checkpoints(tmp_path / "checkpoints", keep=2) as checkpoints:
        loop = loop_of(tmp_path, examples, checkpoints, [3.0, 2.0, 1.0, float("nan"), 1.0, 1.0])
        with pytest.raises(TrainingDiverged, match=r"step 4 \(loss nan\); step 2 is kept"):
            loop.run()
        assert checkpoints.latest == 2
        loop.journal.close()
    assert [row["loss"] for row in read_rows(tmp_path / "metrics.jsonl")] == [3.0, 2.0, 1.0]


def test_the_last_checkpoints_and_the_best_are_kept(tmp_path):
    with Checkpoints(tmp_path / "checkpoints", keep=2) as checkpoints:
        for step, loss in enumerate([3.0, 1.0, 4.0, None, 2.0]):
            checkpoints.save(step, {"w": jnp.full(2, float(step))}, {"place": step}, loss)
        checkpoints.wait()
        assert (checkpoints.best(), checkpoints.latest) == (1, 4)
        arrays, host = checkpoints.restore(1, {"w": jnp.zeros(2)})
        assert (float(arrays["w"][0]), host) == (1.0, {"place": 1})
    steps = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert steps == {"1", "3", "4"}


def test_a_checkpoint_holds_what_the_host_knew_when_it_was_saved(tmp_path):
    """Means go on growing while the save is written in the background."""
    means = Means()
    with Checkpoints(tmp_path / "checkpoints", keep=1) as checkpoints:
        for step in range(5):
            checkpoints.save(step, {"w": jnp.zeros(2)}, {"means": means.totals}, None)
            means.add({"loss": 1.0})
            checkpoints.wait()
            _, host = checkpoints.restore(step, {"w": jnp.zeros(2)})
            assert host["means"] == ({"loss": [float(step), step]} if step else {})


# --- optimiser -------------------------------------------------------------------------------


def test_learning_rate_warms_up_and_falls_with_the_share_done():
    settings = OptimizerSettings(learning_rate=2.0, final_share=0.1, warmup_steps=4)
    rate = lambda step, progress: float(  # noqa: E731
        learning_rate(settings, jnp.int32(step), jnp.float32(progress))
    )
    assert [rate(step, 0.0) for step in range(5)] == [0.5, 1.0, 1.5, 2.0, 2.0]
    # cosine from 2 to 0.2; float32 trigonometry
    np.testing.assert_allclose([rate(9, p) for p in (0.5, 1.0, 2.0)], [1.1, 0.2, 0.2], rtol=1e-6)


def test_only_matrices_decay_and_gradients_are_clipped():
    params = {"matrix": jnp.full((2, 2), 3.0), "gain": jnp.full(2, 3.0)}
    settings = OptimizerSettings(weight_decay=0.5, clip_norm=1.0)
    begin = make_optimizer(settings).init(params)
    zero = jax.tree.map(jnp.zeros_like, params)
    updates, _ = descent(settings, zero, begin, params)
    assert float(updates["matrix"][0, 0]) == 1.5
    assert float(updates["gain"][0]) == 0.0
    huge = jax.tree.map(lambda p: 1e6 * jnp.ones_like(p), params)
    _, state = descent(settings, huge, begin, params)
    mean = optax.tree_utils.tree_get(state, "mu")
    # 1 - beta1 of a gradient of norm 1
    np.testing.assert_allclose(float(optax.tree.norm(mean)), 0.1, rtol=1e-5)


@pytest.mark.parametrize("field", ["learning_rate", "beta1", "warmup_steps", "clip_norm"])
def test_bad_optimizer_settings_are_named(field):
    with pytest.raises(ValueError, match=f"optimizer.{field}=-1"):
        OptimizerSettings(**{field: -1})


# --- what is trained -------------------------------------------------------------------------


def join_all(trainable, params):
    changed, kept = trainable.split(TASK, params, jax.random.key(0))
    return changed, trainable.join(changed, kept)


def test_frozen_parameters_are_kept():
    params = tiny.stage_params("fine")
    changed, joined = join_all(Trainable(frozen=(EMBEDDINGS,)), params)
    assert set(changed) == set(params) - {"wtes", "wpe"}
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), joined, params))


def test_lora_starts_at_the_model_and_adds_a_scaled_product():
    params = tiny.stage_params("fine")
    trainable = Trainable(lora=LoraSettings(rank=2, alpha=6.0, targets=(r".*\.c_fc\.weight",)))
    changed, joined = join_all(trainable, params)
    weight = lambda tree: tree["h"]["0"]["mlp"]["c_fc"]["weight"]  # noqa: E731
    np.testing.assert_array_equal(weight(joined), weight(params))
    factors = weight(changed)
    assert {name: leaf.shape for name, leaf in factors.items()} == {DOWN: (2, 14), UP: (56, 2)}
    factors[UP] = jnp.ones_like(factors[UP])
    moved = weight(trainable.join(changed, params)) - weight(params)
    expected = 3.0 * np.ones((56, 2)) @ np.asarray(factors[DOWN])
    np.testing.assert_allclose(moved, expected, atol=1e-5)  # a difference of sums around 1


@pytest.mark.parametrize(
    ("trainable", "message"),
    [
        (Trainable(frozen=("wtes",)), "freeze: 'wtes' fits no parameter; there are .*h.0.attn"),
        (Trainable(frozen=(".*",)), "leave nothing to train"),
        (Trainable(lora=LoraSettings(rank=2, targets=(r".*ln_1.*",))), "ln_1.bias is not a matrix"),
    ],
)
def test_what_cannot_be_trained_is_named(trainable, message):
    with pytest.raises(ValueError, match=message):
        trainable.split(TASK, tiny.stage_params("fine"), jax.random.key(0))


# --- clock, journal, settings, mesh ------------------------------------------------------------


def test_progress_is_the_larger_share_of_steps_and_time():
    clock = Clock(steps=100, max_minutes=1.0, elapsed_s=30.0)
    assert clock.progress(80) == 0.8
    assert clock.progress(20) == 0.5  # half of the minute had gone before
    assert Clock(None, 1.0, elapsed_s=61.0).progress(3) == 1.0


def test_sigterm_is_noticed_and_given_back():
    before = signal.getsignal(signal.SIGTERM)
    clock = Clock(1, None, 0.0)
    with StopSignal().listening() as stop:
        assert not stop.is_set(clock)
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set(clock)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_journal_drops_what_will_be_done_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 10, "loss": 1.0}\n{"step": 20, "loss": 0.5}\n{"step": 30, "lo')
    journal = Journal(path, from_step=10)
    journal.write({"step": 20, "loss": float("nan")})
    journal.close()
    assert read_rows(path) == [{"step": 10, "loss": 1.0}, {"step": 20, "loss": None}]


def test_means_survive_a_checkpoint():
    means = Means()
    means.add({"loss": 1.0})
    resumed = Means(json.loads(json.dumps(means.totals)))
    resumed.add({"loss": 3.0})
    assert resumed.take() == {"loss": 2.0}
    assert resumed.take() == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stage": "text"}, "stage='text' is not one of"),
        ({"steps": None}, "give steps or max_minutes"),
        ({"accumulate": 3}, "batch_size=16 is not a multiple of accumulate=3"),
        ({"model": {}}, "give model.source=MODEL to start from a model, or model=tiny"),
        ({"eval_every": 0}, "eval_every=0, want at least 1"),
        ({"export": "first"}, "export='first'"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        right = {"stage": "fine", "data": "D", "out": "R", "model": {"source": "M"}, "steps": 9}
        FinetuneSettings(**{**right, **change})


def test_state_is_split_and_rows_are_dealt_out():
    mesh = make_mesh(MeshSettings(data=1, fsdp=-1), rows=4)  # two forced host devices
    sharding = state_sharding(mesh, {"w": jnp.zeros((64, 96)), "b": jnp.zeros(6)})
    assert tuple(sharding["w"].spec) == (None, "fsdp")
    assert tuple(sharding["b"].spec) == (None,)
    with pytest.raises(ValueError, match="= 3 rows cannot be dealt out evenly to 2 devices"):
        make_mesh(MeshSettings(), rows=3)
    with pytest.raises(ValueError, match="do not make up 2 devices"):
        make_mesh(MeshSettings(data=3), rows=6)


def test_operations_inside_loops_are_counted():
    def looped(x):
        return jax.lax.map(lambda row: row @ jnp.ones((6, 7)), x)

    traced = jax.make_jaxpr(looped)(jnp.zeros((3, 5, 6)))
    assert count_flops(traced.jaxpr) == 3 * 2 * 5 * 6 * 7
