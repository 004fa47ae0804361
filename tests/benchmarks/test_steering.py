"""What the steering example measures."""

import numpy as np
import pytest

from bark_jax import Bark
from bark_jax.hooks import Add
from benchmarks.steering import Heard, SteeringSettings, direction, draw, table

SENTENCES = ["please call me back tomorrow", "thank you for your help", "where is the station"]


def test_the_table_and_the_figure_show_every_strength(tmp_path):
    heard = [Heard(-1.0, [101.0, 99.0], 0.125, 2.0), Heard(0.5, [], 0.5, 1.0)]
    assert table(heard).splitlines()[2:] == [
        "| -1 | 100 | 12 % | 2.00 |",
        "| +0.5 | nan | 50 % | 1.00 |",
    ]
    draw(heard, SteeringSettings(), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.thorough
def test_the_direction_between_two_voices_chooses_the_speaker():
    """nano's semantic tokens say who speaks; seeds alone would choose otherwise."""
    bark, place = Bark.from_pretrained("nano"), "semantic.h.1.resid"
    vector = direction(bark, SENTENCES, ("rms", "slt"), place)
    is_slt = np.array([name.startswith("slt/") for name in bark.runner.phones])
    texts = ["we will meet again next week", "open the door and come in"]
    for strength, share in ((-2, 0.0), (2, 1.0)):
        rows = bark.semantic(texts, seed=[1, 2], edits={place: Add(strength * vector)})
        for tokens in rows:
            assert is_slt[tokens // 3].mean() == pytest.approx(share, abs=0.1)
