"""bark_jax through its public stage methods."""

import importlib.metadata
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from bark_jax import Bark
from bark_jax.config import STAGES

PACKAGES = ("jax", "jaxlib", "flax", "numpy")


class Ours:
    def __init__(
        self,
        folder: str,
        text: str,
        audio_s: float,
        n_semantic: int,
        dtype: str | None,
        weights: str | None = None,
    ):
        self.text, self.audio_s, self.weights = text, audio_s, weights
        self.bark: Any = Bark.from_pretrained(folder, dtype=dtype, weights=weights)
        for stage in STAGES:  # otherwise the first call would load it
            with self.bark.runner.params[stage].on_device():
                pass

    def about(self) -> dict[str, Any]:
        device = jax.devices()[0]
        return {
            "device": device.device_kind,
            "platform": device.platform,
            "dtype": self.bark.runner.execution.dtypes.params,
            "weights": self.weights,
            "cache": self.bark.runner.execution_of("semantic").dtypes.cache,
            "threads": len(os.sched_getaffinity(0)),
            "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        }

    def device_bytes(self) -> int | None:
        return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")

    def semantic(self, rows: int, seed: int) -> np.ndarray:
        return self._semantic(rows, seed, self.audio_s)

    def semantic_prefill(self, rows: int, seed: int) -> np.ndarray:
        return self._semantic(rows, seed, 0.0)  # the token that exceeds the limit still counts

    def coarse(self, semantic_BT: np.ndarray, seed: int) -> np.ndarray:
        return np.stack(self.bark.coarse(list(semantic_BT), seed=_seeds(len(semantic_BT), seed)))

    def fine(self, coarse_BQT: np.ndarray, seed: int) -> np.ndarray:
        return np.stack(self.bark.fine(list(coarse_BQT), seed=_seeds(len(coarse_BQT), seed)))

    def codec(self, fine_BQT: np.ndarray) -> np.ndarray:
        return np.stack(self.bark.decode(list(fine_BQT)))

    def hear(self, mode: str, streams: int, seed: int) -> list[tuple[float, float]]:
        """Seconds to the first and to the last audio of streams that begin at once, each alone.

        Args:
          mode: of `Bark.stream_audio`; "whole" is `Bark.generate`.
        """
        sampling = {"semantic": {"allow_early_stop": False, "max_duration_s": self.audio_s}}
        begin = time.perf_counter()

        def one(seed: int) -> tuple[float, float]:
            options = {"seed": seed, "sampling": sampling}
            if mode == "whole":
                self.bark.generate(self.text, **options)
                return (took_s := time.perf_counter() - begin), took_s
            times = [
                time.perf_counter() - begin
                for _ in self.bark.stream_audio(self.text, mode=mode, **options)
            ]
            return times[0], times[-1]

        with ThreadPoolExecutor(streams) as threads:
            return list(threads.map(one, _seeds(streams, seed)))

    def _semantic(self, rows: int, seed: int, audio_s: float) -> np.ndarray:
        sampling = {"semantic": {"allow_early_stop": False, "max_duration_s": audio_s}}
        texts, seeds = [self.text] * rows, _seeds(rows, seed)
        return np.stack(self.bark.semantic(texts, seed=seeds, sampling=sampling))


def _seeds(rows: int, seed: int) -> list[int]:
    return [seed * 1000 + row for row in range(rows)]
