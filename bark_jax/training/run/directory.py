"""The directory of a run: its settings, and a lock so that only one process works on it.

config.yaml      settings          metrics.jsonl    one row per logged step
checkpoints/     Orbax steps       export/          model directory, at the end
samples/         audio             init/            a new model, untrained
"""

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import yaml

from bark_jax.config import to_dict
from bark_jax.runtime.files import replacing
from bark_jax.runtime.locks import held_alone
from bark_jax.training.run.settings import FREE, FinetuneSettings

CONFIG_FILE = "config.yaml"
METRICS_FILE = "metrics.jsonl"
ID_FILE = "run_id"  # the tracker's name for the run


@contextlib.contextmanager
def open_run(settings: FinetuneSettings) -> Iterator[Path]:
    """The directory of a new or resumed run, locked.

    Raises:
      ValueError: it holds a run with other settings; names them.
      InUseError: another process is at work in it.
    """
    out = Path(settings.out).expanduser().resolve()
    out.mkdir(parents=True, exist_ok=True)
    with held_alone(out):
        _check_same_run(out / CONFIG_FILE, settings)
        _write(out / CONFIG_FILE, yaml.safe_dump(_plain(settings), sort_keys=False))
        if not (out / ID_FILE).is_file():
            _write(out / ID_FILE, secrets.token_hex(4))
        yield out


def _check_same_run(path: Path, settings: FinetuneSettings) -> None:
    """A run without a checkpoint may start over with other settings."""
    has_steps = any(step.name.isdigit() for step in path.parent.glob("checkpoints/*"))
    if not (has_steps and path.is_file()):
        return
    before, now = _in_words_of_today(path), _plain(settings)
    changed = [
        f"{name}={before.get(name)!r} then, {now[name]!r} now"
        for name in now
        if name not in FREE and before.get(name) != now[name]
    ]
    if changed:
        raise ValueError(
            f"out={settings.out} holds a run with other settings: {'; '.join(changed)}. "
            "Take another out, or the settings of then"
        )


def _in_words_of_today(path: Path) -> dict:
    """The settings of a run, which may date from when `model.source` was called `init`."""
    found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    if "init" in found:
        found["model"] = {**(found.get("model") or {}), "source": found.pop("init")}
    return found


def _plain(settings: FinetuneSettings) -> dict:
    return yaml.safe_load(yaml.safe_dump(to_dict(settings)))


def _write(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
