"""Batches of records: epochs, states, processes, damage."""

import json
import shutil

import numpy as np
import pytest

from bark_jax.data.records import open_source
from bark_jax.training.run.batches import LoaderSettings, Part, evaluation_batches, training_batches
from bark_jax.training.tasks.examples import Examples

LOADER = LoaderSettings(threads=1, prefetch=8)


def as_set(batch):
    return {row.tobytes() for row in batch["codes"]}


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


def test_evaluation_is_always_on_the_same_rows(data, task):
    examples = Examples(open_source(data, "eval"), task.for_evaluation())
    twice = [evaluation_batches(examples, 4, limit=8, part=Part()) for _ in range(2)]
    assert [len(batch["codes"]) for batch in twice[0]] == [4, 4]  # 5 records, some again
    for one, other in zip(*twice, strict=True):
        np.testing.assert_array_equal(one["codes"], other["codes"])


def test_a_damaged_record_stops_the_run_with_its_name(data, task, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    path = next((tmp_path / "data").glob("train-tokens*"))
    content = bytearray(path.read_bytes())
    content[300:310] = bytes(byte ^ 1 for byte in content[300:310])
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"record \d+ of the train records .* is damaged"):
        broken = Examples(open_source(tmp_path / "data", "train"), task)
        batches = training_batches(broken, 4, seed=1, part=Part(), settings=LOADER)
        for _ in range(6):
            next(batches)
