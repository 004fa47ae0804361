"""Between NNX modules and plain nested dicts of parameters.

The decode loops, Orbax and the converters see `{"h": {"0": {"ln_1": {"weight": …}}}}`; only code
that runs inside `jax.jit` sees modules, where merging costs nothing at run time.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
from flax import nnx

from bark_jax.params import Params

M = TypeVar("M", bound=nnx.Module)


@functools.cache
def _split_abstract(make: Callable[..., nnx.Module], *args: Any) -> tuple[nnx.GraphDef, Any]:
    return nnx.split(nnx.eval_shape(lambda: make(*args, rngs=nnx.Rngs(0))))


def abstract_params(make: Callable[..., nnx.Module], *args: Any) -> Params:
    """Shapes and dtypes of `make(*args, rngs=…)`, without allocating any array."""
    return _string_keys(nnx.to_pure_dict(_split_abstract(make, *args)[1]))


def init_params(make: Callable[..., nnx.Module], *args: Any, key: jax.Array) -> Params:
    """Random parameters of a new model."""

    def init(key: jax.Array) -> Any:
        return nnx.to_pure_dict(nnx.state(make(*args, rngs=nnx.Rngs(key))))

    return _string_keys(jax.jit(init)(key))


def bind(make: Callable[..., M], *args: Any, params: Params) -> M:
    """The module `make(*args, rngs=…)` holding `params`. Call it inside `jax.jit`."""
    graphdef, state = _split_abstract(make, *args)
    state = jax.tree.map(lambda leaf: leaf, state)  # a copy: the cached one stays abstract
    nnx.replace_by_pure_dict(state, params)
    return nnx.merge(graphdef, state)


def _string_keys(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {str(name): _string_keys(value) for name, value in tree.items()}
    return tree
