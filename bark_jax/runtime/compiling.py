"""`jax.jit` as this package uses it, and the compile cache that makes the second run quick."""

import contextlib
import dataclasses
import functools
import inspect
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bark_jax.runtime import stored_programs
from bark_jax.runtime.execution import Execution
from bark_jax.runtime.host_memory import return_freed
from bark_jax.runtime.notices import warn
from bark_jax.runtime.paths import CHOOSE, cache_path, why_unusable
from bark_jax.runtime.platforms import Options, Platform

CACHE_SWITCH = "BARK_JAX_COMPILE_CACHE"  # environment variable; "off" switches the cache off
_NOTICE_AFTER_S = 2.0
_thread = threading.local()  # .is_over: see `rehearsal`


def jit(
    function: Callable[..., Any],
    *,
    static_argnames: Sequence[str] = (),
    donate_argnames: Sequence[str] = (),
    n_rows: Callable[..., int] | None = None,
) -> Callable[..., Any]:
    """`jax.jit` of a function with a static keyword argument `execution`.

    The compiler's options are those of the execution's platform. A call that spends seconds on
    compiling says so on stderr. An argument that is left out shares the program of one that has its
    default.

    Args:
      static_argnames: besides `execution`.
      n_rows: for a token loop: the batch size from a call's arguments, because a single row has
        its own compiler options.
    """

    @functools.cache
    def compiled(options: Options) -> Callable[..., Any]:
        return jax.jit(
            function,
            static_argnames=("execution", *static_argnames),
            donate_argnames=tuple(donate_argnames),
            compiler_options=dict(options),
        )

    def for_platform(platform: Platform, is_single_row: bool = False) -> Callable[..., Any]:
        options = platform.compiler_options
        return compiled(options + platform.single_row_options if is_single_row else options)

    statics = ("execution", *static_argnames)
    parameters = inspect.signature(function)
    programs: dict[Any, Callable[..., Any]] = {}  # by signature: what was called before
    making = threading.Lock()  # held while one is made, so that two threads do not make it twice

    @functools.wraps(function)
    def call(*args: Any, execution: Execution, **kwargs: Any) -> Any:
        is_single_row = n_rows is not None and n_rows(*args, **kwargs) == 1
        bound = parameters.bind(*args, execution=execution, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        signature = _signature((given, is_single_row))
        if _rehearses() and _thread.is_over.is_set():
            raise RuntimeError("the rehearsal is over")
        if signature in programs:
            return _run(programs[signature], given)
        stage = function.__module__.rpartition(".")[-1]
        with notice(f"the {stage} stage", shown=_is_watched() and not _rehearses()):
            with making:
                if (program := programs.get(signature)) is None:
                    jitted = for_platform(execution.platform, is_single_row)
                    program = _stored(function, jitted, statics, signature, given)
                    programs[signature] = program
                    return_freed()
            return _run(program, given)

    call.for_platform = for_platform  # type: ignore[attr-defined]  # for ahead-of-time use
    return call


def _stored(
    function: Callable[..., Any],
    jitted: Callable[..., Any],
    statics: Sequence[str],
    signature: Any,
    given: Mapping[str, Any],
) -> Callable[..., Any]:
    """The program for these arguments: of an earlier process, or kept for a later one."""
    folder = _cache_in_use()
    if folder is None or "://" in folder:
        return jitted
    name = f"{function.__module__}.{function.__qualname__}"
    path = stored_programs.path_of(Path(folder) / "programs", name, signature)
    if path is None:
        return jitted
    compiled = stored_programs.load(path)
    if compiled is None:
        lowered = jitted.lower(**given)  # type: ignore[attr-defined]
        compiled = stored_programs.compile_and_save(path, lowered)
    return _Kept(compiled, statics)


@dataclasses.dataclass(frozen=True, eq=False)
class _Kept:
    """A compiled program, which is called like the function that it was made from."""

    compiled: Any
    statics: Sequence[str]

    def __call__(self, **given: Any) -> Any:
        return self.compiled(**{k: v for k, v in given.items() if k not in self.statics})

    def zeros(self) -> Any:
        """Arrays like those that it gives, on the host."""
        return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), self.compiled.out_info)


def can_rehearse() -> bool:
    """Whether programs are kept, as far as that does not depend on their arguments."""
    return _cache_in_use() is not None and stored_programs.is_one_device()


@contextlib.contextmanager
def rehearsal(is_over: threading.Event) -> Iterator[None]:
    """In the block, and in this thread, programs are made and kept but not run: zeros come of them.

    Raises:
      RuntimeError: from a program that cannot be kept, and from any once `is_over` is set.
    """
    _thread.is_over = is_over
    try:
        yield
    finally:
        _thread.is_over = None


def _rehearses() -> bool:
    return getattr(_thread, "is_over", None) is not None


def _run(program: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    if not _rehearses():
        return program(**given)
    if not isinstance(program, _Kept):
        raise RuntimeError("only what is kept can be rehearsed")
    return program.zeros()


def _signature(tree: Any) -> Any:
    """Equal for arguments that share a compiled program; a mesh in use is part of it."""
    leaves, structure = jax.tree.flatten(tree)
    shapes = tuple((leaf.shape, leaf.dtype) if hasattr(leaf, "shape") else leaf for leaf in leaves)
    return structure, shapes, jax.sharding.get_abstract_mesh()


@contextlib.contextmanager
def notice(what: str, shown: bool = True) -> Iterator[None]:
    """Says on stderr that something is being compiled, once that has taken a while."""
    if not shown:
        yield
        return
    timer = threading.Timer(_NOTICE_AFTER_S, _say_compiling, [what])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def enable_cache() -> None:
    """Keeps compiled programs in a per-user directory, unless the user has chosen otherwise.

    The directory is never shared: whoever can write to it can run code in this process. Where no
    file can be kept, a warning says so once, and every run compiles anew.
    """
    if os.environ.get(CACHE_SWITCH, "").lower() in ("off", "0", "false"):
        return
    chosen, own = _cache_in_use(), cache_path("compiled")
    is_bucket = chosen is not None and "://" in chosen
    if chosen is not None and (is_bucket or _can_keep(Path(chosen).absolute())):
        return
    if _can_keep(own):
        own.mkdir(parents=True, exist_ok=True, mode=0o700)
        jax.config.update("jax_compilation_cache_dir", str(own))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    else:
        jax.config.update("jax_compilation_cache_dir", None)  # or JAX warns of every program


@functools.cache  # one warning for each folder
def _can_keep(directory: Path) -> bool:
    problem = why_unusable(directory)
    if problem:
        warn(
            f"compiled programs cannot be kept in {directory}: {problem}; {CHOOSE}, or "
            f"{CACHE_SWITCH}=off"
        )
    return problem is None


def _cache_in_use() -> str | None:
    return getattr(jax.config, "jax_compilation_cache_dir")  # noqa: B009  # defined at run time


def _is_watched() -> bool:
    return sys.stderr.isatty()


def _say_compiling(what: str) -> None:
    kept = "" if _cache_in_use() is None else "; kept for the next run"
    print(f"\ncompiling {what}, some 5 to 30 s{kept}", file=sys.stderr, flush=True)
