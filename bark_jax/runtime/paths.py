"""Where the packaged model lies, where other files go, and how they are made exactly once."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import filelock
import platformdirs

PACKAGE = Path(__file__).parents[1]
NANO = PACKAGE / "assets" / "nano"  # the model that ships in the package


def configs() -> Path:
    """The folder of settings: inside an installed package, beside the package in a checkout."""
    installed = PACKAGE / "configs"
    return installed if installed.is_dir() else PACKAGE.parent / "configs"


def cache_path(*parts: str) -> Path:
    """A path below this user's cache directory (`$XDG_CACHE_HOME/bark_jax` where that is set)."""
    return platformdirs.user_cache_path("bark_jax", appauthor=False).joinpath(*parts)


def build_once(directory: Path, build: Callable[[Path], object]) -> Path:
    """`directory`, made by `build(path)` if it is not there yet.

    `build` makes a directory at a temporary path, which is renamed when it is complete: a killed
    or failed run leaves nothing that looks finished, and a second process waits for the first.
    """
    if directory.is_dir():
        return directory
    directory.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{directory}.lock"):
        if directory.is_dir():
            return directory
        workplace = directory.with_name(f"{directory.name}.partial")
        shutil.rmtree(workplace, ignore_errors=True)  # of a killed run
        workplace.mkdir()
        try:
            build(workplace / directory.name)
            os.replace(workplace / directory.name, directory)
        finally:
            shutil.rmtree(workplace, ignore_errors=True)
    return directory
