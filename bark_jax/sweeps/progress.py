"""One progress bar for a whole sweep, even if several processes or machines make its points."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bark_jax.runtime.files import read_json
from bark_jax.runtime.progress import work_bar
from bark_jax.sweeps.point_files import ERROR_FILE, METRICS_FILE

LOOK_EVERY_S = 0.5


@contextlib.contextmanager
def watching(folders: Sequence[Path]) -> Iterator[None]:
    """Shows points done, seconds of audio and time left on stderr.

    It looks at what has been written, since launchers report nothing until everything is done.
    """
    is_over = threading.Event()
    with work_bar(len(folders), "point") as bar:
        watcher = threading.Thread(target=_watch, args=(folders, bar, is_over), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            is_over.set()
            watcher.join()


def _watch(folders: Sequence[Path], bar: Any, is_over: threading.Event) -> None:
    waiting, audio_s, n_failed = list(folders), 0.0, 0
    while True:
        is_last = is_over.wait(LOOK_EVERY_S)
        ended = [folder for folder in waiting if _has_ended(folder)]
        waiting = [folder for folder in waiting if folder not in ended]
        for folder in ended:
            if (folder / METRICS_FILE).exists():
                audio_s += read_json(folder / METRICS_FILE)["metrics"]["duration_s"]
            else:
                n_failed += 1
        failed = f", {n_failed} failed" if n_failed else ""
        bar.set_postfix_str(f"{audio_s:.0f} s of audio{failed}", refresh=False)
        bar.update(len(ended))
        if is_last:
            bar.refresh()
            return


def _has_ended(folder: Path) -> bool:
    return (folder / METRICS_FILE).exists() or (folder / ERROR_FILE).exists()
