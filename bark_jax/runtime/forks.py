"""An error in place of a process that hangs: JAX's threads do not survive a fork."""

import os

_process: int | None = None  # that uses JAX


def check_not_forked() -> None:
    """Remembers the first process that gets here; to be called before JAX does anything.

    Raises:
      RuntimeError: this process was forked from it.
    """
    global _process
    if _process is None:
        _process = os.getpid()
    elif _process != os.getpid():
        raise RuntimeError(
            "this process was forked from one that had loaded a model, and JAX does not survive a "
            'fork: start it with multiprocessing.get_context("spawn"), or load models only in it'
        )
