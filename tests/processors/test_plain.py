"""Processors as plain data: there and back, and what is refused."""

import json
import re

import flax.struct
import numpy as np
import pytest

from bark_jax.processors import Ban, Bias, Force, MinP, TopK
from bark_jax.sampling_config import BARK, Chain, SamplingConfig


@flax.struct.dataclass
class Mine:
    strength: float = 2.0

    def __call__(self, logits_BV, context):
        return logits_BV * self.strength


@flax.struct.dataclass
class NotOne:
    strength: float = 2.0


NAME = f"{__name__}:Mine"


@pytest.mark.parametrize(
    "value, want",
    [
        ({"MinP": 0.05}, MinP(0.05)),
        ({"MinP": {"p": 0.05}}, MinP(0.05)),
        ({"Ban": [17, 3]}, Ban([17, 3])),
        ({"Bias": {"ids": [1], "values": [0.5]}}, Bias([1], [0.5])),
        ({"Force": [5, -1]}, Force([5, -1])),
        ({"Force": [[5, -1], [2, 3]]}, Force([[5, -1], [2, 3]])),
        (NAME, Mine()),
        ({NAME: 3}, Mine(3)),
        (MinP(0.1), MinP(0.1)),
    ],
)
def test_there_and_back(value, want):
    chain = Chain.of([value])
    assert chain.processors == (want,)
    written = json.dumps(chain.plain())
    assert Chain.of(json.loads(written)).processors == (want,)


def test_arrays_are_written_as_numbers():
    chain = Chain.of([Ban(np.array([1, 2])), TopK(np.int64(3)), MinP(np.float64(0.5))])
    assert chain.plain() == [{"Ban": {"ids": [1, 2]}}, {"TopK": {"k": 3}}, {"MinP": {"p": 0.5}}]


@pytest.mark.parametrize(
    "value, message",
    [
        ([{"MaxP": 1}], "processor 'MaxP' is not known; want one of TopP, TopK, MinP"),
        ([{"MinP": {"q": 1}}], "processor 'MinP': "),
        ([f"{__name__}:Nobody"], "is not to be had: module"),
        ([f"{__name__}:NotOne"], "is not known"),
        (["no_such_module:Mine"], "is not to be had: No module named"),
        ([{"pathlib:Path": "x"}], "is not known"),  # a class, and nothing that may be made
        ([MinP], "is not a processor"),
        ([lambda logits_BV, context: logits_BV], "is not a processor"),
        ([0.05], "0.05 is not a processor"),
        (MinP(0.05), "want a list of processors, got MinP(p=0.05)"),
        ("MinP", "want a list of processors, got 'MinP'"),
    ],
)
def test_what_is_no_processor_is_named(value, message):
    pattern = "sampling.coarse.processors: .*" + re.escape(message)
    with pytest.raises(ValueError, match=pattern):
        SamplingConfig.of({"coarse": {"processors": value}})


def rows(value, n_rows: int) -> list[tuple[object, ...]]:
    sampling = SamplingConfig.of({"semantic": {"processors": value}})
    chains = sampling.over(BARK).per_row(n_rows)["semantic"]["processors"]
    return [chain.processors for chain in chains]


def test_one_list_is_for_all_rows_and_a_list_of_lists_is_one_per_row():
    one, two = MinP(0.1), Ban([2])
    assert rows(None, 2) == rows([], 2) == rows([[], None], 2) == [(), ()]
    assert rows([one, two], 2) == [(one, two), (one, two)]
    assert rows([[one], [two, one]], 2) == [(one,), (two, one)]
    with pytest.raises(ValueError, match=r"sampling.semantic.processors has 1 entries, .* 2 rows"):
        rows([[one]], 2)
