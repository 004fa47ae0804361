"""Which code made a result: versions, commit, device."""

import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

from bark_jax import __version__

PACKAGES = ("jax", "jaxlib", "flax", "numpy", "librosa", "pyloudnorm", "pocketsphinx")


@functools.cache
def provenance() -> dict[str, Any]:
    """Plain data; the commit is None where the package does not run from a git checkout."""
    import jax

    device = jax.local_devices()[0]
    return {
        "bark_jax": __version__,
        "commit": git("rev-parse", "HEAD"),
        "has_local_changes": bool(git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "device": f"{device.platform}: {device.device_kind}",
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def git(*command: str) -> str | None:
    """What git prints about the checkout that this package is in; None if there is none."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", root, *command], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
