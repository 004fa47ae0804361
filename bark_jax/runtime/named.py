"""Objects of a user's own, named in settings and on the command line."""

import pkgutil
from typing import Any


def find(kind: str, path: str, want: str = "module:function") -> Any:
    """The object with the path "module:name", which can be called.

    Args:
      kind: what it is to be, for messages: "judge".
      want: what the path may be, for messages.
    Raises:
      ValueError: there is no such object, or it cannot be called.
    """
    try:
        if ":" not in path:
            raise ValueError("no module is named")
        found = pkgutil.resolve_name(path)
        if not callable(found):
            raise TypeError(f"it is {type(found).__name__}, which cannot be called")
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{kind} {path!r} is not to be had: {error}; want {want}") from error
    return found
