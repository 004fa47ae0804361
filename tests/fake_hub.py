"""A Hugging Face hub on loopback: as much of it as huggingface_hub asks for."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ROUTE = re.compile(r"(?:/api/models)?/([^/]+/[^/]+)/(resolve|revision|tree)/([^/]+)/?(.*)")
Files = Mapping[str, bytes]
RESOLVE = """
import json, sys
from bark_jax.sources.resolve import resolve_model

for step in json.loads(sys.argv[1]):
    try:
        print(json.dumps(str(resolve_model(**step))))
    except OSError as error:
        print(json.dumps([type(error).__name__, str(error)]))
"""


def read_files(folder: Path) -> dict[str, bytes]:
    """All files below `folder`, by their path in a repository."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


class FakeHub:
    """Serves repositories until closed, and remembers what was asked for."""

    def __init__(self, home: Path) -> None:
        """`home` is where the processes that use it keep their caches."""
        self.home = home
        self.branches: dict[tuple[str, str], str] = {}  # (repository, branch) -> commit
        self.commits: dict[tuple[str, str], Files] = {}  # (repository, commit) -> files
        self.requests: list[tuple[str, str, str | None]] = []  # method, path, Range
        self.cut: dict[str, int] = {}  # file -> bytes after which its next download breaks off
        hub = self

        class Handler(_Handler):
            fake = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> "FakeHub":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def push(self, repo: str, files: Files, branch: str = "main") -> str:
        """Puts a commit on a branch; its hash."""
        commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.branches[repo, branch] = commit
        self.commits[repo, commit] = dict(files)
        return commit

    def downloads(self) -> list[str]:
        """The files whose content was asked for, in order."""
        return [
            path.split("/resolve/")[1].split("/", 1)[1]
            for method, path, _ in self.requests
            if method == "GET" and "/resolve/" in path
        ]

    def start(
        self, *steps: Mapping[str, Any], prelude: str = "", **env: str
    ) -> "subprocess.Popen[str]":
        """A new process that calls `resolve_model` with the arguments of every step."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "XDG_", "XLA_"))}
        own = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(self.home / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        return subprocess.Popen(
            [sys.executable, "-c", prelude + RESOLVE, json.dumps(steps)],
            env=clean | own | env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def ask(self, *steps: Mapping[str, Any], prelude: str = "", **env: str) -> list[Any]:
        """What that process finds: paths, and errors as pairs of type and message."""
        return finish(self.start(*steps, prelude=prelude, **env))


def finish(process: "subprocess.Popen[str]") -> list[Any]:
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()]


class _Handler(BaseHTTPRequestHandler):
    fake: FakeHub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_) -> None:
        pass

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.fake.requests.append((self.command, path, self.headers.get("Range")))
        match = ROUTE.fullmatch(path)
        if match is None:
            return self._fail("EntryNotFound")
        repo, what, revision, filename = match.groups()
        if repo not in {known for known, _ in self.fake.branches}:
            return self._fail("RepoNotFound")
        commit = self.fake.branches.get((repo, revision), revision)
        if (repo, commit) not in self.fake.commits:
            return self._fail("RevisionNotFound")
        files = self.fake.commits[repo, commit]
        if what == "revision":
            return self._send_json({"id": repo, "sha": commit, **_siblings(files)})
        if what == "tree":
            return self._send_json([_entry(path, content) for path, content in files.items()])
        if filename not in files:
            return self._fail("EntryNotFound", commit)
        return self._send_file(filename, files[filename], commit)

    def _send_file(self, filename: str, content: bytes, commit: str) -> None:
        start = int((self.headers.get("Range") or "bytes=0-")[len("bytes=") :].split("-")[0])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if self.command == "GET":
            end = self.fake.cut.pop(filename, len(content))
            self.wfile.write(content[start:end])  # HTTP/1.0: then the connection closes

    def _send_json(self, value: object) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _fail(self, code: str, commit: str | None = None) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        if commit:
            self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _siblings(files: Files) -> dict[str, object]:
    return {"siblings": [{"rfilename": path} for path in files]}


def _entry(path: str, content: bytes) -> dict[str, object]:
    oid = hashlib.sha1(content).hexdigest()
    return {"type": "file", "path": path, "size": len(content), "oid": oid}
