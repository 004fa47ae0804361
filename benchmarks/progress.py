"""What a run is doing, for whoever waits for it."""

import sys


def say(what: str) -> None:
    """A line on stderr: stdout is for the result."""
    print(what, file=sys.stderr, flush=True)
