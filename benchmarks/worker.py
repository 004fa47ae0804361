"""One peer in a process of its own: reads commands from stdin, a JSON object a line, and answers.

Run by `benchmarks/client.py` as: python -m benchmarks.worker PEER
"""

import gc
import json
import os
import sys
import time
from typing import Any, TextIO

import numpy as np

from benchmarks import peers

GIVEN = {"coarse": "semantic", "coarse_prefill": "semantic", "fine": "coarse", "codec": "fine"}


class Session:
    """A loaded peer, and the last outputs of its stages: the inputs of the next ones."""

    def __init__(self, name: str, arguments: dict[str, Any]) -> None:
        begin = time.perf_counter()
        self.peer = peers.load(name, *arguments.values())
        self.load_s = time.perf_counter() - begin
        self.made: dict[tuple[str, int], np.ndarray] = {}

    def stage(self, stage: str, rows: int, seed: int) -> dict[str, Any]:
        """Runs a stage on what the stage before it made for as many rows."""
        given = self.made.get((GIVEN.get(stage, ""), rows))
        gc.collect()
        begin = time.perf_counter()
        out = self._call(stage, given, rows, seed)
        seconds = time.perf_counter() - begin
        if not np.isfinite(out).all():
            raise ValueError(f"the {stage} stage gave values that are not finite")
        self.made[stage, rows] = out
        return {"seconds": seconds, "shape": out.shape}

    def _call(self, stage: str, given: Any, rows: int, seed: int) -> np.ndarray:
        if stage in ("semantic", "semantic_prefill"):
            return getattr(self.peer, stage)(rows, seed)
        if stage == "coarse_prefill":
            return self.peer.coarse(given[:, :1], seed)
        if stage == "codec":
            return self.peer.codec(given)
        return getattr(self.peer, stage)(given, seed)


def answer(request: dict[str, Any], session: Session | None, name: str) -> tuple[Any, Session]:
    """The reply to one command, and the session after it."""
    match request.pop("do"):
        case "load":
            session = Session(name, request)
            return {"load_s": session.load_s, **session.peer.about()}, session
        case "stage" if session:
            return session.stage(**request), session
        case "hear" if session:  # which only ours can answer
            return getattr(session.peer, "hear")(**request), session  # noqa: B009
        case "device_bytes" if session:
            return session.peer.device_bytes(), session
    raise ValueError(f"cannot answer {request}")


def serve(requests: TextIO, replies: TextIO, name: str) -> None:
    session: Session | None = None
    for line in requests:
        reply, session = answer(json.loads(line), session, name)
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not be taken for a reply
    serve(sys.stdin, channel, sys.argv[1])
