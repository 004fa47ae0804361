"""Where the parameters of a stage are kept, and how they get to the device."""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator

import jax
import numpy as np

from bark_jax.params import Params
from bark_jax.runtime.forks import check_not_forked

# One stage is read at a time, whichever thread asks: reading needs memory besides what it gives.
_loading = threading.Lock()


@dataclasses.dataclass
class StageParams:
    """Parameters of one stage, loaded at first use.

    With `offload` they stay in host memory and are on the device only inside `on_device`, so that
    the device never holds more than one stage.
    """

    load: Callable[[], Params]
    offload: bool = False
    _kept: Params | None = None

    @contextlib.contextmanager
    def on_device(self) -> Iterator[Params]:
        check_not_forked()
        with _loading:
            if (kept := self._kept) is None:
                kept = self.load()
                kept = self._kept = jax.tree.map(np.asarray, kept) if self.offload else kept
        if not self.offload:
            yield kept
            return
        placed = jax.device_put(kept)
        try:
            yield placed
        finally:
            jax.tree.map(lambda leaf: leaf.delete(), placed)
