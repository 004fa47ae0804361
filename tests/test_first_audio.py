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
pxla.addFilter(lambda record: names.append(record.getMessage().split()[1:2]) or False)

from bark_jax import Bark

bark = Bark.from_pretrained("nano")
made = bark.generate("hello there", seed=1)
names = [name[0] for name in names if name]
print(json.dumps({"audio": len(made.audio), "programs": names, "modules": list(sys.modules)}))
"""


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """What a process with programs that an earlier one has kept says of itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_NUM_CPU_DEVICES", "1")  # as a user has; with more of them none is kept
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        for _ in range(2):
            done = subprocess.run([sys.executable, "-c", SPEAK], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_no_program_is_traced_or_compiled_again(spoken):
    """All arithmetic is in programs that are kept: each small array made by JAX would be one."""
    assert spoken["audio"] > 0
    assert spoken["programs"] == []


def test_what_generating_needs_not_is_not_imported(spoken):
    tops = {name.partition(".")[0] for name in spoken["modules"]}
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
