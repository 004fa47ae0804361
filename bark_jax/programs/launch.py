"""How every program that takes its settings with Hydra starts and ends.

It takes them from a config below `configs/` and from the command line. An error
that a user can mend is one line on stderr, with exit code 1; Ctrl-C ends with exit code 130.
HYDRA_FULL_ERROR=1 shows tracebacks.

Importing this needs none of the extras: a program imports what it needs inside its own function,
so that a missing package gives such a line as well.
"""

import contextlib
import errno
import functools
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from bark_jax.programs.errors import FULL_ERROR, in_one_line, not_installed
from bark_jax.runtime.interrupts import INTERRUPTED
from bark_jax.runtime.paths import configs

FAILURE = 1  # exit code
MENDABLE = (ValueError, OSError, ImportError, RuntimeError, ArithmeticError)

Composed: TypeAlias = Any  # a config as Hydra has composed it; `compose.from_hydra` reads it
Task: TypeAlias = Callable[[Composed], object]


def launch(
    task: Task,
    config: str,
    argv: Sequence[str],
    *,
    extra: str,
    resumes: bool = False,
    points: Callable[[], object] | None = None,
) -> None:
    """Runs `task` with the composed config, and exits if that fails.

    Args:
      task: what the program does.
      config: the config's path below `configs/`, without `.yaml`.
      argv: the command line, without the program's name.
      extra: the package's extra that installs what the program imports.
      resumes: the same command resumes a run that was interrupted.
      points: makes `task.points`, which plugins that run many jobs call (see `points.Points`).
        An error of one job is then left to Hydra, and does not end the program.
    """
    with contextlib.ExitStack() as stack:
        if os.environ.get(FULL_ERROR) != "1":
            stack.enter_context(errors_in_one_line(extra, resumes))
            stack.enter_context(_hydra_raises())
            logging.getLogger("absl").addFilter(_has_no_full_disk)
            if points is None:
                task = _ending_in_one_line(task, extra, resumes)
        import hydra

        import bark_jax.programs.compose  # noqa: F401  registers the config `quiet`

        if points is not None:
            task.points = points()  # pyright: ignore[reportFunctionMemberAccess]
        folder, _, name = config.rpartition("/")
        compose = hydra.main(
            version_base="1.3", config_path=str(configs() / folder), config_name=name
        )
        sys.argv[1:] = argv  # where Hydra looks
        compose(task)()


@contextlib.contextmanager
def errors_in_one_line(extra: str, resumes: bool) -> Iterator[None]:
    """Exits if the block ends in Ctrl-C, or in an error that a user can mend.

    Other errors are ours and pass through, unless a full disk caused them.
    """
    try:
        yield
        sys.stdout.flush()  # now, while a full disk or a closed pipe still raises
    except KeyboardInterrupt:
        goes_on = "; the same command goes on from what is finished" if resumes else ""
        print(f"interrupted{goes_on}", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if not _is_mendable(error):
            raise
        _let_go_of_stdout()
        if isinstance(error, BrokenPipeError):
            sys.exit(FAILURE)
        sys.exit(f"error: {describe(error, extra)}")


def describe(error: Exception, extra: str) -> str:
    """The error's message in one line, with a cause that it does not mention."""
    if line := not_installed(error, extra):
        return line
    text = in_one_line(error)
    if _is_of_hydra(error) and error.__cause__ is not None:
        text += f" ({error.__cause__})"
    full = full_disk_behind(error)
    if full is not None and os.strerror(errno.ENOSPC) not in text:
        text += f" ({full})"
    return " ".join(text.split())


def full_disk_behind(error: BaseException) -> BaseException | None:
    """The error itself or one that it was raised from, if it is a full disk; else None."""
    waiting, seen = [error], set()
    while waiting:
        each = waiting.pop()
        if getattr(each, "errno", None) == errno.ENOSPC or os.strerror(errno.ENOSPC) in str(each):
            return each
        seen.add(id(each))
        behind = (each.__cause__, each.__context__, *getattr(each, "exceptions", ()))
        waiting += [one for one in behind if one is not None and id(one) not in seen]
    return None


def _is_mendable(error: Exception) -> bool:
    is_told = isinstance(error, MENDABLE) or _is_of_hydra(error)
    return is_told or full_disk_behind(error) is not None


def _is_of_hydra(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] in ("hydra", "omegaconf")


def _ending_in_one_line(task: Task, extra: str, resumes: bool) -> Task:
    """The task, whose errors end the program before Hydra adds lines of its own."""

    @functools.wraps(task)  # Hydra looks at the task's name and file
    def run(composed: Composed) -> object:
        os.environ.pop(FULL_ERROR, None)  # hidden from programs that the task starts
        with errors_in_one_line(extra, resumes):
            return task(composed)

    return run


@contextlib.contextmanager
def _hydra_raises() -> Iterator[None]:
    """Makes Hydra raise its errors, which it would otherwise print on several lines."""
    os.environ[FULL_ERROR] = "1"
    try:
        yield
    finally:
        os.environ.pop(FULL_ERROR, None)


def _has_no_full_disk(record: logging.LogRecord) -> bool:
    """Not a full disk's traceback: Orbax logs one per thread, and raises the error in the end."""
    error = record.exc_info[1] if record.exc_info else None
    return error is None or full_disk_behind(error) is None


def _let_go_of_stdout() -> None:
    """Keeps Python from trying to flush stdout at exit, and reporting the same error again."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
