"""Voices beside Suno's checkpoints."""

import numpy as np
import pytest

from bark_jax.conversion.suno import find_voices


def write(path, n):
    path.parent.mkdir(parents=True, exist_ok=True)
    keys = ("semantic_prompt", "coarse_prompt", "fine_prompt")
    np.savez(path, **{key: np.full(3, n) for key in keys}, speaker_id=np.array(None))


@pytest.mark.parametrize("folder", ["prompts", "voices"])
@pytest.mark.parametrize("name", ["ann", "zed", "v2/a"])
def test_a_subfolders_voices_come_before_those_beside_the_checkpoints(tmp_path, folder, name):
    write(tmp_path / f"{name}.npz", 1)
    write(tmp_path / folder / f"{name}.npz", 2)
    write(tmp_path / "other.npz", 3)
    found = find_voices(tmp_path)
    assert list(found) == sorted([name, "other"])
    assert found[name]()["fine_prompt"][0] == 2
    assert found["other"]().keys() == {"semantic_prompt", "coarse_prompt", "fine_prompt"}
