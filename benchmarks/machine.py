"""What this machine can do at best: reading and copying memory, and a matrix product.

Run: python -m benchmarks.machine numpy|jax|torch GIB (a process of its own; prints JSON)

- read: every core adds up its share of an array (NumPy, as 64-bit integers: the fastest of the
  reductions tried); on an accelerator `jnp.sum`. Bytes of the array per second.
- copy: every core copies its share; on an accelerator `x + 1`. Bytes read plus bytes written.
- matmul: 1024 x 768 times 768 x 3072, the shape of the fine model's MLP at the small size; on an
  accelerator 8192 cubed. Additions and multiplications per second, by dtype.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from bark_jax.config import DTYPES
from benchmarks.settings import ROOT

MATMUL = {"cpu": (1024, 768, 3072)}
LARGE_MATMUL = (8192, 8192, 8192)
REPEATS = 10


def measure(library: str, gib: float, env: dict[str, str]) -> dict[str, Any]:
    """Runs this module for one library, and returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.machine", library, str(gib)],
        check=True, stdout=subprocess.PIPE, cwd=ROOT,
        # NumPy's own threads would compete with ours
        env={**os.environ, **env, **({"OPENBLAS_NUM_THREADS": "1"} if library == "numpy" else {})},
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def best(rate: float, run: Callable[[], object]) -> float:
    """`rate`, the work of one run, per second of the fastest of several runs."""
    run()
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return rate / min(times)


def with_numpy(gib: float) -> dict[str, Any]:
    n = len(os.sched_getaffinity(0))
    source = np.ones(int(gib * 2**30 / 8) // n * n, np.int64)
    target = np.zeros_like(source)
    parts = list(zip(np.split(source, n), np.split(target, n), strict=True))
    with ThreadPoolExecutor(n) as pool:

        def each(function: Callable[[Sequence[np.ndarray]], object]) -> Callable[[], object]:
            return lambda: list(pool.map(function, parts))

        return {
            "read_bytes_per_s": best(source.nbytes, each(lambda part: part[0].sum())),
            "copy_bytes_per_s": best(2 * source.nbytes, each(lambda p: np.copyto(p[1], p[0]))),
        }


def with_jax(gib: float) -> dict[str, Any]:
    import jax
    import jax.numpy as jnp

    platform = jax.default_backend()
    m, k, n = MATMUL.get(platform, LARGE_MATMUL)
    product = jax.jit(lambda a, b: a @ b)
    found: dict[str, Any] = {"matmul_per_s": {}}
    for dtype in DTYPES:
        a, b = jnp.ones((m, k), dtype), jnp.ones((k, n), dtype)
        run = lambda a=a, b=b: product(a, b).block_until_ready()  # noqa: E731
        found["matmul_per_s"][dtype] = best(2 * m * k * n, run)
    if platform != "cpu":  # there NumPy's threads are faster
        x = jnp.ones((int(gib * 2**30 / 4 / 1024), 1024), jnp.float32)
        total, copy = jax.jit(jnp.sum), jax.jit(lambda x: x + 1)
        found["read_bytes_per_s"] = best(x.nbytes, lambda: total(x).block_until_ready())
        found["copy_bytes_per_s"] = best(2 * x.nbytes, lambda: copy(x).block_until_ready())
    return found


def with_torch(gib: float) -> dict[str, Any]:
    import torch

    is_cuda = torch.cuda.is_available()
    m, k, n = LARGE_MATMUL if is_cuda else MATMUL["cpu"]
    device = "cuda" if is_cuda else "cpu"
    found: dict[str, float] = {}
    for dtype in DTYPES:
        a = torch.ones((m, k), dtype=getattr(torch, dtype), device=device)
        b = torch.ones((n, k), dtype=getattr(torch, dtype), device=device)

        def run(a: Any = a, b: Any = b) -> None:
            torch.nn.functional.linear(a, b)
            if is_cuda:
                torch.cuda.synchronize()

        found[dtype] = best(2 * m * k * n, run)
    return {"matmul_per_s": found}


if __name__ == "__main__":
    functions = {"numpy": with_numpy, "jax": with_jax, "torch": with_torch}
    print(json.dumps(functions[sys.argv[1]](float(sys.argv[2]))))
