"""What a result was measured on and with: nothing that names a machine or a user."""

import os
import platform
import re
from typing import Any

import psutil

from bark_jax.sweeps.provenance import git


def hardware() -> dict[str, Any]:
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.system(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }


def host_kind(hardware: dict[str, Any], device: str, platform: str) -> str:
    """The machine as part of a file name: its accelerator, or its CPU and cores."""
    name = f"{hardware['cores']}x-{hardware['cpu']}" if platform == "cpu" else device
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def commit() -> dict[str, Any]:
    """The commit of this checkout; `dirty` if tracked files differ from it."""
    return {
        "commit": git("rev-parse", "HEAD"),
        "dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
    }


def _cpu_model() -> str:
    with open("/proc/cpuinfo") as file:
        names = [line.partition(":")[2] for line in file if line.startswith("model name")]
    return names[0].strip() if names else platform.machine()
