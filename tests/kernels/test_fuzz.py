"""The kernels of all instruction sets that this machine has, at random shapes, under sanitizers."""

import shutil
import subprocess
from pathlib import Path

import pytest

import bark_jax.kernels

KERNELS = Path(bark_jax.kernels.__file__).parent


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")
def test_random_shapes_under_sanitizers(tmp_path):
    """Odd sizes, 1 to 64 rows: no read or write outside an array, no undefined behaviour."""
    program = tmp_path / "fuzz"
    sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    build = ["c++", "-std=c++17", "-O1", "-g", *sanitize, f"-I{KERNELS}"]
    source = Path(__file__).with_name("fuzz.cc")
    subprocess.run([*build, source, "-o", program], check=True, capture_output=True)
    done = subprocess.run([program, "100"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "all equal\n"
