"""Parameters of a model: one nested dict, whose dotted names are those of the checkpoints."""

from collections.abc import Mapping
from typing import Any

Params = dict[str, Any]  # nested; leaves are arrays


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"h": {"0": {"w": x}}}` → `{"h.0.w": x}`, the dotted names of PyTorch checkpoints."""
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def unflatten(flat: Mapping[str, Any]) -> Params:
    """The inverse of `flatten`."""
    params: Params = {}
    for path, value in flat.items():
        *parents, leaf = path.split(".")
        node = params
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return params
