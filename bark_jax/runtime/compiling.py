"""`jax.jit` as this package uses it, and the compile cache that makes the second run quick."""

import functools
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import jax

from bark_jax.runtime import platforms as backend
from bark_jax.runtime.paths import cache_path

CACHE_SWITCH = "BARK_JAX_COMPILE_CACHE"  # environment variable; "off" switches the cache off
_NOTICE_AFTER_S = 2.0


def jit(
    function: Callable[..., Any],
    *,
    static_argnames: Sequence[str] = (),
    donate_argnames: Sequence[str] = (),
    n_rows: Callable[..., int] | None = None,
) -> Callable[..., Any]:
    """`jax.jit` with the compiler options of the platform in use, looked up at the first call.

    A call that spends seconds on compiling says so on stderr.

    Args:
      n_rows: of a token loop, tells the batch size from a call's arguments: a single row has
        options of its own.
    """

    @functools.cache
    def compiled(platform: str, is_lone_row: bool = False) -> Callable[..., Any]:
        of = backend.BACKENDS[platform]
        return jax.jit(
            function,
            static_argnames=tuple(static_argnames),
            donate_argnames=tuple(donate_argnames),
            compiler_options={
                **of.compiler_options,
                **(of.lone_row_options if is_lone_row else {}),
            },
        )

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        # Dispatch returns at once unless the program has to be compiled first.
        notice = threading.Timer(_NOTICE_AFTER_S, _say_compiling, [function.__module__])
        notice.daemon = True
        notice.start()
        try:
            is_lone_row = n_rows is not None and n_rows(*args, **kwargs) == 1
            return compiled(jax.default_backend(), is_lone_row)(*args, **kwargs)
        finally:
            notice.cancel()

    call.compiled = compiled  # type: ignore[attr-defined]  # for inspection and ahead-of-time use
    return call


def enable_cache() -> None:
    """Keeps compiled programs in a per-user directory, unless the user has chosen otherwise.

    The directory is never shared: whoever can write to it can run code in this process.
    """
    if os.environ.get(CACHE_SWITCH, "").lower() in ("off", "0", "false"):
        return
    if _cache_in_use() is None:
        directory = cache_path("compiled")
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        jax.config.update("jax_compilation_cache_dir", str(directory))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _cache_in_use() -> str | None:
    return getattr(jax.config, "jax_compilation_cache_dir")  # noqa: B009  # defined at run time


def _say_compiling(module: str) -> None:
    if sys.stderr.isatty():
        stage = module.rsplit(".", 1)[-1]
        kept = "" if _cache_in_use() is None else "; kept for the next run"
        print(f"\ncompiling the {stage} stage, some 5 to 30 s{kept}", file=sys.stderr)
