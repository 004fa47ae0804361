"""The processor that docs/sampling.md defines works in `generate`, batch files and sweeps."""

import importlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from bark_jax.batch_files import read_lines, speak_lines
from bark_jax.config import from_dict
from bark_jax.sampling_config import SamplingConfig
from bark_jax.sweeps.batches import generate_batched
from bark_jax.sweeps.settings import PointSettings
from tests import tiny

PAGE = Path(__file__).parents[2] / "docs" / "sampling.md"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The page's example as a module that Python finds."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = [block for block in blocks if "class Settle" in block]
    (tmp_path / "mine_of_a_test.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("mine_of_a_test")


def test_the_example_works_everywhere(mine, tmp_path):
    bark = tiny.make_bark()
    limited = {"max_duration_s": 0.6, "allow_early_stop": False}
    plain = {"mine_of_a_test:Settle": {"heat": 4.0, "tokens": 5}}

    def sampling(chain):
        return {"semantic": {**limited, "processors": chain}}

    want = bark.generate("hello", seed=3, sampling=sampling([mine.Settle(4.0, 5)]))
    without = bark.generate("hello", seed=3, sampling=sampling([]))
    assert want.semantic.tolist() != without.semantic.tolist()
    assert want.settings["sampling"]["semantic"]["processors"] == [plain]

    lines = tmp_path / "lines.jsonl"
    rows = [{"text": "hello", "seed": 3, "sampling": sampling([p])} for p in (plain, {"Ban": [99]})]
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = read_lines(lines, voice=None, seed=0, sampling=SamplingConfig())
    assert read[0].key("m") != read[1].key("m")
    outcome = speak_lines(bark, read, tmp_path / "out", model="tiny", progress=False)
    assert outcome.n_made == 1 and "Ban.ids=[99] is not allowed" in outcome.errors[0]
    recorded = json.loads((tmp_path / "out" / "results.jsonl").read_text().splitlines()[-1])
    assert recorded["duration_s"] == pytest.approx(want.duration_s, abs=1e-3)

    settings = {"prompts": {"text": "hello"}, "seed": 3}
    points = [
        from_dict(PointSettings, {**settings, "sampling": sampling(chain)})
        for chain in ([plain], [])
    ]
    assert len({point.key() for point in points}) == 2
    made = dict(generate_batched(lambda model: bark, points))
    for index, expected in enumerate((want, without)):
        result = made[index]
        assert not isinstance(result, Exception)
        np.testing.assert_array_equal(result[1].fine, expected.fine)
    name, value = "sampling.semantic.processors", [plain]
    assert points[0].flat()[name] == value and name not in points[1].flat()
