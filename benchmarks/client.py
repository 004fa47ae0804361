"""The driver's end of a worker process."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

from benchmarks.settings import ROOT


class Worker:
    """A process that holds one peer."""

    def __init__(self, peer: str, env: Mapping[str, str]) -> None:
        self.peer = peer
        self._errors = tempfile.TemporaryFile("w+", errors="replace")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", peer],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=ROOT,
            env={**os.environ, **env},
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, do: str, **arguments: Any) -> Any:
        """Sends a command and waits for the reply.

        Raises:
          RuntimeError: the worker failed; with the end of what it said.
        """
        assert self._process.stdin and self._process.stdout
        try:
            print(json.dumps({"do": do, **arguments}), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self._process.wait()
            self._errors.seek(0)
            said = self._errors.read()[-2000:]
            raise RuntimeError(f"{self.peer} failed at {do!r} with exit code {code}:\n{said}")
        return json.loads(line)

    def memory(self) -> dict[str, int | None]:
        """Bytes in RAM: the peak so far and now; on the device: the peak."""
        fields = {}
        with open(f"/proc/{self.pid}/status") as file:
            for line in file:
                name, _, value = line.partition(":")
                fields[name] = value
        return {
            "peak_rss": 1024 * int(fields["VmHWM"].split()[0]),
            "rss": 1024 * int(fields["VmRSS"].split()[0]),
            "device_peak": self.ask("device_bytes"),
        }

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, error: object, *_: object) -> None:
        if error is not None:
            self._process.kill()  # its stage may take minutes more
        self.close()


def environment(device: str, compile_cache: str | None = None) -> dict[str, str]:
    """Variables for a worker.

    Args:
      device: as in `BenchmarkSettings`.
      compile_cache: directory for JAX's compiled programs, in place of this user's.
    """
    env = {
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # the peers' processes share the device
    }
    if device != "auto":
        env["JAX_PLATFORMS"] = {"gpu": "cuda"}.get(device, device)
    if device in ("cpu", "tpu"):
        env["CUDA_VISIBLE_DEVICES"] = ""
    if compile_cache is not None:
        env["JAX_COMPILATION_CACHE_DIR"] = compile_cache
        env["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    return env
