"""Which checkpoints are kept, and what they hold of the host."""

import jax.numpy as jnp

from bark_jax.training.run.checkpoints import Checkpoints
from bark_jax.training.run.journal import Means


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
