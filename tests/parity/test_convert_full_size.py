"""Conversion at the size of the published small models: memory, and numbers (12 x 768)."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

if importlib.util.find_spec("bark") is None:
    pytest.skip("needs the extra parity", allow_module_level=True)

from bark_jax.conversion.verify import table, verify
from tests.parity.reference import make_checkpoints

pytestmark = [
    pytest.mark.expensive,
    pytest.mark.filterwarnings("ignore:`?torch.nn.utils.weight_norm:FutureWarning"),  # in encodec
]
ROOT = Path(__file__).parents[2]

MEASURE = """
import sys
import jax, safetensors, torch, transformers
from orbax.checkpoint import v1
from bark_jax.conversion.convert import convert

def peak_bytes():
    status = open("/proc/self/status").read()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024

jax.config.update("jax_platforms", "cpu")
jax.devices()
before = peak_bytes()
convert(sys.argv[1], sys.argv[2])
print(peak_bytes() - before)
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Checkpoints of 736, 398 and 352 MiB, and one of them converted with its peak memory."""
    folder = tmp_path_factory.mktemp("small")
    make_checkpoints(folder / "suno", n_layer=12, n_head=12, n_embd=768, std=0.02)
    command = [sys.executable, "-c", MEASURE, folder / "suno", folder / "model"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return folder / "suno", folder / "model", int(result.stdout)


def test_peak_memory_is_that_of_the_largest_file(small):
    source, _, peak_bytes = small
    largest_bytes = max(path.stat().st_size for path in source.iterdir())
    assert largest_bytes > 700e6
    ratio = peak_bytes / largest_bytes
    print(f"peak above the imports: {peak_bytes / 2**20:.0f} MiB, {ratio:.2f} x the largest file")
    assert ratio < 1.3


def test_full_size_logits_and_audio(small):
    source, model, _ = small
    rows = verify(source, model)
    print(table(rows))
    assert all(row.is_equal for row in rows), table(rows)
