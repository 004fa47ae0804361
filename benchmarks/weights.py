"""The same random weights for every peer, in each one's own format.

Run: python -m benchmarks.weights SIZE FOLDER PEER … (a process of its own, on the CPU)
"""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.settings import ROOT, BenchmarkSettings

VERSION = 1  # raise it when the weights change
STD = 0.02  # of the weights; larger ones make attention so sharp that numbers become denormal
FORMATS = {"suno": "suno", "transformers": "hf"}


def ensure_weights(settings: BenchmarkSettings) -> dict[str, str]:
    """Every peer's folder of weights, written by another process at the first call."""
    from bark_jax.runtime.paths import cache_path

    base = Path(settings.models) if settings.models else cache_path("benchmark")
    folder = base.resolve() / f"{settings.size}-{VERSION}"
    missing = [peer for peer in settings.peers if not (folder / peer).is_dir()]
    if missing:
        subprocess.run(
            [sys.executable, "-m", "benchmarks.weights", settings.size, str(folder), *missing],
            check=True,
            cwd=ROOT,
            env={**os.environ, "JAX_PLATFORMS": "cpu", "HF_HUB_OFFLINE": "1"},
        )
    return {peer: str(folder / peer.partition("-")[0]) for peer in settings.all_peers}


def make_weights(size: str, folder: Path, peer: str) -> None:
    """Writes one peer's folder as an export of ours, which is written first."""
    from bark_jax.conversion.export import export
    from bark_jax.runtime.paths import build_once
    from bark_jax.sources.untrained import write_random
    from benchmarks.work import model_config

    ours = build_once(folder / "ours", lambda path: write_random(path, model_config(size), STD))
    if peer != "ours":
        format = FORMATS[peer]
        build_once(
            folder / peer,
            lambda path: export(ours, path, format=format, progress=False),  # pyright: ignore[reportArgumentType]
        )


if __name__ == "__main__":
    for name in sys.argv[3:]:
        make_weights(sys.argv[1], Path(sys.argv[2]), name)
