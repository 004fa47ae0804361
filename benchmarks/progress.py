"""Says what a run is doing, to those who wait for it."""

import sys


def say(what: str) -> None:
    """Prints a line on stderr: stdout is for the result."""
    print(what, file=sys.stderr, flush=True)
