"""Compiled programs as files, so that another process neither traces nor compiles them.

JAX's own compile cache keeps what XLA made, but a process traces and lowers a program before it can
look for it, which for a small model takes longer than the program itself.

A program is found by everything that it depends on: this package's files, JAX's version and
settings, the machine, and the shapes and static values of its arguments. What has a class or a
function of anybody else in its arguments is not kept, as their code may change.

Of an executable that was read XLA writes only a part. So one that JAX has in its own cache, as from
before this package's files changed, is not kept when it is first read. When another process reads
it again, it is compiled anew: then it seems worth that once.
"""

import contextlib
import functools
import hashlib
import io
import os
import pickle
import platform
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jaxlib.version
from jax.experimental import serialize_executable

from bark_jax.runtime.files import replacing
from bark_jax.runtime.paths import PACKAGE, cache_path

ASKED = "/jax/compilation_cache/compile_requests_use_cache"
FOUND = "/jax/compilation_cache/cache_hits"
# An option that changes nothing but what JAX looks for in its own cache.
UNFELT = "xla_debug_buffer_assignment_show_max"
MOST_BYTES = 1 << 30  # in a folder; the programs of a model take some MiB
KNOWN = {"bark_jax", "flax", "jax", "jaxlib", "ml_dtypes", "numpy", *sys.stdlib_module_names}


def path_of(folder: Path, name: str, signature: Any) -> Path | None:
    """Where the program of a function is kept, whether it is there or not; None: nowhere.

    Args:
      folder: of all programs.
      name: of the function, with its module.
      signature: shapes and static values of its arguments; the platform's options among them.
    """
    if not (is_one_device() and _is_of_known_packages(signature)):
        return None
    asked = f"{_surroundings()} {name} {signature}"
    return folder / hashlib.sha256(asked.encode()).hexdigest()


def load(path: Path) -> Callable[..., Any] | None:
    """The program that `compile_and_save` wrote; None if there is none that can be used."""
    with contextlib.suppress(OSError):  # not there, or not to be written to
        os.utime(path)  # when it was last used, for `_prune`
    try:
        return serialize_executable.deserialize_and_load(*pickle.loads(path.read_bytes()))
    except Exception:  # half written, or of another JAX: it is compiled anew
        return None


def compile_and_save(path: Path, lowered: Any) -> Callable[..., Any]:
    """Compiles a program and keeps it, if it can be kept."""
    compiled, events = _compile(lowered)
    if FOUND in events and _was_found_before(path):
        with contextlib.suppress(Exception):  # a compiler that does not know the option
            compiled, events = _compile(lowered, {UNFELT: 15 + time.time_ns() % 2**31})
    if ASKED in events and FOUND not in events:  # XLA has compiled it just now
        _save(path, compiled)
    return compiled


def _compile(
    lowered: Any, options: dict[str, Any] | None = None
) -> tuple[Callable[..., Any], Sequence[str]]:
    """The program, and what JAX has told of its own cache meanwhile."""
    _seen.events = []
    return lowered.compile(compiler_options=options), _seen.events


def _was_found_before(path: Path) -> bool:
    """Whether JAX has had the program in its cache before; noted for the next time."""
    mark = path.with_suffix(".found")
    if mark.exists():
        return True
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        mark.touch()
    return False


class _Seen(threading.local):
    """What JAX has told of its own cache in this thread."""

    events: Sequence[str] = ()


_seen = _Seen()


def _note(event: str, **_: Any) -> None:
    if event in (ASKED, FOUND):
        _seen.events = [*_seen.events, event]


jax.monitoring.register_event_listener(_note)


def _save(path: Path, compiled: Any) -> None:
    try:
        content = pickle.dumps(serialize_executable.serialize(compiled))
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with replacing(path) as partial:
            partial.write_bytes(content)
        path.with_suffix(".found").unlink(missing_ok=True)
        _prune(path.parent)
        if path.parent.parent == cache_path("compiled"):  # JAX's own cache is ours as well
            _prune(path.parent.parent)
    except Exception:  # a full disk, or a program with constants: the next process compiles it
        return


def _prune(folder: Path) -> None:
    """Removes the files that have not been used for the longest time, beyond `MOST_BYTES`."""
    files = [(found.stat(), found) for found in os.scandir(folder) if found.is_file()]
    n_bytes = 0
    for found, file in sorted(files, key=lambda each: -each[0].st_mtime):
        n_bytes += found.st_size
        if n_bytes > MOST_BYTES:
            Path(file).unlink(missing_ok=True)


def is_one_device() -> bool:
    """Programs that are spread over devices or processes are left to JAX's own cache."""
    return jax.device_count() == 1 and jax.sharding.get_abstract_mesh().empty


def _is_of_known_packages(value: Any) -> bool:
    """Whether it holds no class and no function of anybody else."""
    try:
        _Pickler(io.BytesIO()).dump(value)
    except Exception:  # of others, or without a name, as lambdas are
        return False
    return True


class _Pickler(pickle.Pickler):
    """Stops at a class or function of others: to pickle it would import its module.

    That module may be the one whose import has led here, and waits for us in another thread.
    """

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type) or callable(obj):
            home = (getattr(obj, "__module__", None) or "builtins").partition(".")[0]
            if home not in KNOWN:
                raise pickle.PicklingError(home)
        return NotImplemented


@functools.cache
def _surroundings() -> str:
    """What programs depend on besides their arguments."""
    files = sorted(
        (file.as_posix(), (found := file.stat()).st_size, found.st_mtime_ns)
        for kind in ("*.py", "*.so")
        for file in PACKAGE.rglob(kind)
    )
    device = jax.devices()[0]
    machine = Path("/proc/cpuinfo")
    lines = machine.read_text().splitlines() if machine.is_file() else []
    flags = {line for line in lines if line.startswith(("flags", "model name", "Features"))}
    settings = sorted((k, repr(v)) for k, v in jax.config.values.items() if "cache" not in k)
    facts = [
        files, jax.__version__, jaxlib.version.__version__, device.device_kind,
        device.client.platform_version, os.environ.get("XLA_FLAGS"), os.cpu_count(),
        sorted(flags) or platform.processor(), settings,
    ]  # fmt: skip
    return repr(facts)
