"""What a process need not do before its first audio; each would take tenths of a second."""

import json
import subprocess
import sys

import pytest

SPEAK = """
import json, logging, sys

names = []
pxla = logging.getLogger("jax._src.interpreters.pxla")
pxla.setLevel(logging.DEBUG)
pxla.propagate = False
pxla.addHandler(logging.NullHandler())
pxla.addFilter(lambda r: names.append((r.threadName, *r.getMessage().split()[1:2])) or False)

from bark_jax import Bark

bark = Bark.from_pretrained("nano")
made = bark.generate("hello there", seed=1)
programs = [name for name in names if len(name) == 2]
audio = made.audio.tolist()
print(json.dumps({"audio": audio, "programs": programs, "modules": list(sys.modules)}))
"""


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """What a process with an empty cache says of itself, and what the next one says."""
    runs = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_NUM_CPU_DEVICES", "1")  # as a user has; with more of them none is kept
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        for _ in range(2):
            done = subprocess.run([sys.executable, "-c", SPEAK], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            runs.append(json.loads(done.stdout))
    return runs


def test_no_program_is_traced_or_compiled_again(spoken):
    """All arithmetic is in programs that are kept: each small array made by JAX would be one."""
    first, second = spoken
    assert second["audio"] and second["audio"] == first["audio"]
    assert second["programs"] == []


def test_later_stages_are_compiled_beside_the_first(spoken):
    made = {tuple(program) for program in spoken[0]["programs"]}
    mains = {name for thread, name in made if thread == "MainThread"}
    beside = {name for thread, name in made if thread != "MainThread"}
    assert mains >= {"jit(_begin_fn)", "jit(_continue_fn)"}
    assert "jit(_begin_fn)" in beside  # of the coarse stage: later ones may come late


def test_what_generating_needs_not_is_not_imported(spoken):
    tops = {name.partition(".")[0] for name in spoken[1]["modules"]}
    assert not tops & {
        "orbax",
        "scipy",
        "torch",
        "librosa",
        "matplotlib",
        "hydra",
        "grain",
        "wandb",
    }
