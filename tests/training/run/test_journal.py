"""The rows of a run, and means over steps."""

import json

from bark_jax.runtime.lines import read_rows
from bark_jax.training.run.journal import Journal, Means


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
