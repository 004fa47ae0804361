"""Where the packaged model lies, where other files go, and how they are made exactly once."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import filelock
import platformdirs

CHOOSE = "set XDG_CACHE_HOME to a folder of yours"
PACKAGE = Path(__file__).parents[1]
NANO = PACKAGE / "assets" / "nano"  # the model that ships in the package


def configs() -> Path:
    """The folder of settings: inside an installed package, beside the package in a checkout."""
    installed = PACKAGE / "configs"
    return installed if installed.is_dir() else PACKAGE.parent / "configs"


def cache_path(*parts: str) -> Path:
    """A path below this user's cache directory (`$XDG_CACHE_HOME/bark_jax` where that is set)."""
    try:
        home = platformdirs.user_cache_path("bark_jax", appauthor=False)
    except RuntimeError:  # this user has no home
        home = Path("~", "bark_jax")  # no absolute path: `why_unusable`
    return home.joinpath(*parts)


def why_unusable(directory: Path) -> str | None:
    """Why no file could be kept in a folder, which need not exist yet; None if one could.

    Leaves nothing behind.
    """
    if not directory.is_absolute():
        return "there is no home folder"
    try:
        with tempfile.TemporaryFile(dir=directory):
            return None
    except (FileNotFoundError, NotADirectoryError) as error:
        if directory.parent != directory and not os.path.lexists(directory):
            return why_unusable(directory.parent)
        problem = error
    except OSError as error:
        problem = error
    return f"{directory} takes no files ({problem.strerror})"


def check_cache(directory: Path) -> None:
    """Raises OSError where nothing could be kept; says how to choose another place."""
    if problem := why_unusable(directory):
        raise OSError(f"cannot make {directory}: {problem}; {CHOOSE}")


def build_in_cache(directory: Path, build: Callable[[Path], object]) -> Path:
    """`build_once` below `cache_path`; raises OSError as `check_cache` does."""
    if not directory.is_dir():
        check_cache(directory)
    return build_once(directory, build)


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
