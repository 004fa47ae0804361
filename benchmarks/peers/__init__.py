"""The programs that are measured, behind one interface.

Each runs in a process of its own (`benchmarks/worker.py`), and imports what it needs when it is
made, so that PyTorch and JAX never share a process.
"""

import importlib
from typing import Any, Protocol

import numpy as np

HOMES = {
    "ours": ("benchmarks.peers.ours", "Ours"),
    "suno": ("benchmarks.peers.suno", "Suno"),
    "transformers": ("benchmarks.peers.huggingface", "HuggingFace"),
}


class Peer(Protocol):
    """One program with its weights loaded. Arrays in and out, one row of a batch each."""

    def __init__(self, folder: str, text: str, audio_s: float, n_semantic: int, dtype: str | None):
        """Loads the weights in `folder` completely."""
        ...

    def about(self) -> dict[str, Any]:
        """`device`, `platform`, `dtype` of the weights, `threads`, and `versions`."""
        ...

    def device_bytes(self) -> int | None:
        """Peak memory in use on the device so far; None without one."""
        ...

    def semantic(self, rows: int, seed: int) -> np.ndarray: ...

    def semantic_prefill(self, rows: int, seed: int) -> np.ndarray:
        """Only the first token of every row."""
        ...

    def coarse(self, semantic_BT: np.ndarray, seed: int) -> np.ndarray: ...

    def fine(self, coarse_BQT: np.ndarray, seed: int) -> np.ndarray: ...

    def codec(self, fine_BQT: np.ndarray) -> np.ndarray: ...


def load(name: str, *args: Any) -> Peer:
    """Makes a peer; a name such as "ours-int8" also says in which format its weights are kept."""
    home, _, weights = name.partition("-")
    module, made = HOMES[home]
    options = {"weights": weights} if weights else {}
    return getattr(importlib.import_module(module), made)(*args, **options)
