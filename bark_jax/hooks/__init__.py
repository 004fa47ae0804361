"""Reading and changing what happens inside the transformers: traces and edits.

>>> from bark_jax.hooks import Add, Replace, Scale
>>> bark.generate("hello", edits={"semantic.h.2.resid": Add(vector)})

Names are those of `Bark.trace_names`, with wildcards, see `bark_jax.hooks.names`. An edit is a
`flax.struct.dataclass` that can be called, `(x, place) -> x`, or a function: pure, both. It is
made with the values of one row; when it is called, every field is an array with one entry per row,
so that rows differ in their values and new values compile nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bark_jax.hooks.edits import Add, Place, Replace, Scale
    from bark_jax.hooks.trace import Trace

__all__ = [  # noqa: RUF022  # in groups
    # they change what a place holds
    "Add",
    "Replace",
    "Scale",
    # what an edit is called with
    "Place",
    # what traces come as
    "Trace",
]


def __getattr__(name: str) -> Any:
    """Imports on first use: a `Trace` needs no JAX, which is slow to import."""
    import importlib

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "trace" if name == "Trace" else "edits"
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
