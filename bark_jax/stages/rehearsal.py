"""The programs of the later stages are made while the first one is at work.

XLA compiles a program, and reads a compiled one, without Python's lock and largely on one core. So
the stages that follow are rehearsed beside the semantic one: in a second thread they go through all
that they do, except that no program is run.
"""

import atexit
import contextlib
import dataclasses
import threading
from collections.abc import Iterator

import numpy as np

from bark_jax.batching import Batch
from bark_jax.runtime.compiling import can_rehearse, rehearsal
from bark_jax.runtime.interrupts import end_at_once
from bark_jax.stages.runner import StageRunner

# Of a short row: longer ones begin with the same shapes, of nano's layout as of Bark's.
SEMANTIC_TOKENS = 24

_rehearsed: set[object] = set()  # what has been, in this process
_begun: list[tuple[threading.Thread, threading.Event]] = []


@contextlib.contextmanager
def rehearsing(runner: StageRunner, batch: Batch) -> Iterator[None]:
    """In the block, the stages after the semantic one are rehearsed for the batch, in a thread.

    Once for each model and number of rows; never where stages are spread over devices, take turns
    on one, or are the user's. A block that ends by an error does not wait for the thread, which
    ends after the program that it is making.
    """
    asked = (runner.config, runner.execution, tuple(runner.weights.items()), batch.n_rows)
    is_simple = runner.mesh is None and not runner.is_offloaded and not runner.own
    if not (is_simple and can_rehearse()) or asked in _rehearsed:
        yield
        return
    _rehearsed.add(asked)
    is_over = threading.Event()
    beside = threading.Thread(target=_rehearse, args=(runner, batch, is_over), daemon=True)
    _begun.append((beside, is_over))
    beside.start()
    try:
        yield
    finally:
        is_over.set()
    beside.join()


def _rehearse(runner: StageRunner, batch: Batch, is_over: threading.Event) -> None:
    unwatched = dataclasses.replace(batch, watch=None)
    semantic = [np.zeros(SEMANTIC_TOKENS, np.int32)] * batch.n_rows
    # whatever is wrong here will be wrong in the stage itself, and is reported there
    with rehearsal(is_over), contextlib.suppress(Exception):
        with runner.params["semantic"].on_device():
            pass  # what the semantic stage waits for is read first
        runner.decode(runner.fine(runner.coarse(semantic, unwatched), unwatched))


@atexit.register
def _wait() -> None:
    """Waits for what is still being made when Python ends, which would crash a thread in XLA.

    Python waits for threads by itself, but only until Ctrl-C is pressed again.
    """
    going_on = [each for each in _begun if each[0].is_alive()]
    if going_on:
        end_at_once()
    for beside, is_over in going_on:
        is_over.set()
        beside.join()
