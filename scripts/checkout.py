"""Puts the checkout on the path, also that of worker processes, and runs a command of `bark-jax`.

`benchmarks` and `nano` are never installed, and `bark_jax` itself need not be.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
_others = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([str(ROOT), *_others]))


def command(name: str) -> None:
    """Runs `bark-jax NAME` with this program's arguments, and exits."""
    from bark_jax.cli import main

    sys.exit(main([name, *sys.argv[1:]]))
