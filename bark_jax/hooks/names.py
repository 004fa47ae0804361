"""Names of the places in the transformers that can be read and changed.

    name   = stage "." place
    stage  = "semantic" | "coarse" | "fine"
    place  = "embed" | "h." layer "." part | "ln_f"
    part   = "attn.q" | "attn.k" | "attn.v" | "attn.weights" | "attn.mixed" | "attn.out"
           | "mlp.act" | "mlp.out" | "resid"

In a pattern `*` stands for one piece between dots, `**` for any number of them:
`semantic.h.*.resid`, `fine.**`, `**.attn.out`. `embed` is what enters the first layer, positions
included; `resid` what leaves a layer; `ln_f` what the head reads; `attn.mixed` the values that each
head has gathered, before `c_proj`; `mlp.act` the MLP's hidden layer after its GELU.
"""

import re
from collections.abc import Iterable, Mapping

from bark_jax.config import TRANSFORMERS, BarkConfig
from bark_jax.numbers import shown

Axes = tuple[str | int, ...]  # names of those that differ between rows, sizes of the others

WEIGHTS = "attn.weights"  # are computed from queries and keys, so they can be read but not changed


def axes_of(config: BarkConfig) -> dict[str, Axes]:
    """All names, and the axes of their traces: draws first, then sizes.

    "step" counts the draws of a row, "codebook" and "frame" its codes, "position" what a draw can
    attend to.
    """
    found: dict[str, Axes] = {}
    for stage in TRANSFORMERS:
        size = getattr(config, stage)
        lead: Axes = ("codebook", "frame") if stage == "fine" else ("step",)
        width, heads = (size.n_embd,), (size.n_head, size.n_embd // size.n_head)
        inner = {
            **{f"attn.{name}": heads for name in "qkv"},
            WEIGHTS: (size.n_head, "position"),
            "attn.mixed": heads,
            "attn.out": width,
            "mlp.act": (4 * size.n_embd,),
            "mlp.out": width,
            "resid": width,
        }
        found[f"{stage}.embed"] = (*lead, *width)
        for layer in range(size.n_layer):
            found |= {f"{stage}.h.{layer}.{name}": (*lead, *own) for name, own in inner.items()}
        found[f"{stage}.ln_f"] = (*lead, *width)
    return found


def drawn_axes(config: BarkConfig) -> dict[str, Axes]:
    """The names that can be traced while tokens are drawn, one step after another."""
    return {
        name: axes
        for name, axes in axes_of(config).items()
        if axes[0] == "step" and not name.endswith(WEIGHTS)
    }


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """The names that a pattern stands for, in their order."""
    pieces = [
        r"[^.]+(\.[^.]+)*" if piece == "**" else re.escape(piece).replace(r"\*", r"[^.]*")
        for piece in pattern.split(".")
    ]
    rule = re.compile(r"\.".join(pieces))
    return [name for name in names if rule.fullmatch(name)]


def expand(argument: str, patterns: object, known: Mapping[str, Axes]) -> tuple[str, ...]:
    """The names that any of the patterns stands for, in the models' order.

    Raises:
      ValueError: not a string or a list of them, or one that stands for nothing.
    """
    patterns = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(patterns, Iterable) or not (patterns := list(patterns)):
        raise ValueError(f"{argument}={shown(patterns)} is not allowed; want names of places")
    found: set[str] = set()
    for pattern in patterns:
        if not isinstance(pattern, str) or not (names := matching(pattern, known)):
            example = next(name for name in known if name.endswith("resid"))
            raise ValueError(
                f"{argument}: {shown(pattern)} is the name of no place; want one such as "
                f"{example!r}, {example.replace('0', '*')!r} (Bark.trace_names() lists them)"
            )
        found |= set(names)
    return tuple(name for name in known if name in found)
