"""The loop on a stepper whose losses are given, and its checkpoints."""

import jax.numpy as jnp
import numpy as np
import pytest

from bark_jax.runtime.lines import read_rows
from bark_jax.tracking import NullTracker
from bark_jax.training.run.batches import LoaderSettings, Part, training_batches
from bark_jax.training.run.checkpoints import Checkpoints
from bark_jax.training.run.journal import Journal, Means
from bark_jax.training.run.loop import Loop, TrainingDiverged
from bark_jax.training.run.mesh import MeshSettings, make_mesh
from bark_jax.training.run.schedule import Clock, StopSignal
from bark_jax.training.run.settings import FinetuneSettings
from bark_jax.training.run.step import TrainState

LOADER = LoaderSettings(threads=1, prefetch=8)


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
