"""A process that is forked from one with a model."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import multiprocessing, warnings
import numpy as np
from bark_jax import Bark

warnings.simplefilter("ignore")  # JAX warns of the fork itself
bark = Bark.from_pretrained("nano")

def speak(_):
    try:
        return len(bark.decode(np.ones((4, 2), int)))
    except RuntimeError as error:
        return str(error)

def load(_):
    try:
        return str(Bark.from_pretrained("nano"))
    except RuntimeError as error:
        return str(error)

with multiprocessing.get_context("fork").Pool(1) as pool:
    for task in (speak, load):
        print(pool.map_async(task, [0]).get(timeout=60)[0])
print(speak(0) == 2 * bark.config.codec.hop_length)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
def test_a_forked_process_is_told_to_spawn():
    run = [sys.executable, "-c", PROGRAM]
    here = Path(__file__).parents[2]
    done = subprocess.run(run, cwd=here, capture_output=True, text=True, timeout=120, check=True)
    in_child, in_child_again, in_parent = done.stdout.splitlines()
    assert in_child == in_child_again and 'get_context("spawn")' in in_child
    assert in_parent == "True"
