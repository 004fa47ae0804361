"""The records that the tests of batches and of the loop take."""

import pytest

from bark_jax.data.records import open_source
from bark_jax.training.tasks.examples import Examples
from bark_jax.training.tasks.make import make_task
from tests import tiny, tones


@pytest.fixture(scope="package")
def task():
    return make_task("fine", tiny.CONFIG, window=16)


@pytest.fixture(scope="package")
def data(tmp_path_factory):
    return tones.write_data(tmp_path_factory.mktemp("parts") / "data", n_train=12, n_eval=5)


@pytest.fixture
def examples(data, task):
    return Examples(open_source(data, "train"), task)
