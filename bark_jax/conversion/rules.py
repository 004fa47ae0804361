"""Tensor names of the three formats: one table, read in both directions.

Ours are the dotted names of `params.flatten`. A placeholder stands for one part of a name. The
quantizer's codebooks are rows of one array here: `name[3]` is row 3.
"""

import functools
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from bark_jax.config import BarkConfig, CodecConfig

Dialect = Literal["ours", "suno", "hf"]


class Rule(NamedTuple):
    """One line of the table; `suno` is EnCodec's name where the stage is the codec."""

    ours: str
    suno: str
    hf: str


GPT_RULES = (
    Rule("wte.weight", "transformer.wte.weight", "input_embeds_layer.weight"),
    Rule("wtes.{q}.weight", "transformer.wtes.{q}.weight", "input_embeds_layers.{q}.weight"),
    Rule("wpe.weight", "transformer.wpe.weight", "position_embeds_layer.weight"),
    Rule("h.{l}.ln_{n}.{p}", "transformer.h.{l}.ln_{n}.{p}", "layers.{l}.layernorm_{n}.{p}"),
    Rule(
        "h.{l}.attn.c_attn.{p}", "transformer.h.{l}.attn.c_attn.{p}", "layers.{l}.attn.att_proj.{p}"
    ),
    Rule(
        "h.{l}.attn.c_proj.{p}", "transformer.h.{l}.attn.c_proj.{p}", "layers.{l}.attn.out_proj.{p}"
    ),
    Rule("h.{l}.mlp.c_fc.{p}", "transformer.h.{l}.mlp.c_fc.{p}", "layers.{l}.mlp.in_proj.{p}"),
    Rule("h.{l}.mlp.c_proj.{p}", "transformer.h.{l}.mlp.c_proj.{p}", "layers.{l}.mlp.out_proj.{p}"),
    Rule("ln_f.{p}", "transformer.ln_f.{p}", "layernorm_final.{p}"),
    Rule("lm_head.weight", "lm_head.weight", "lm_head.weight"),
)
CODEC_RULES = (
    Rule("{s}.layers.{i}.conv.{p}", "{s}.model.{i}.conv.conv.{p}", "{s}.layers.{i}.conv.{p}"),
    Rule(
        "{s}.layers.{i}.block.{j}.conv.{p}",
        "{s}.model.{i}.block.{j}.conv.conv.{p}",
        "{s}.layers.{i}.block.{j}.conv.{p}",
    ),
    Rule(
        "{s}.layers.{i}.shortcut.conv.{p}",
        "{s}.model.{i}.shortcut.conv.conv.{p}",
        "{s}.layers.{i}.shortcut.conv.{p}",
    ),
    Rule("{s}.layers.{i}.lstm.{p}", "{s}.model.{i}.lstm.{p}", "{s}.layers.{i}.lstm.{p}"),
    Rule(
        "quantizer.{p}[{q}]",
        "quantizer.vq.layers.{q}._codebook.{p}",
        "quantizer.layers.{q}.codebook.{p}",
    ),
)
# The fine model's heads, which are its embedding tables and not stored; the same in all formats.
HEAD = re.compile(r"lm_heads\.(\d+)\.weight")


def rules_of(stage: str, config: BarkConfig) -> Sequence[Rule]:
    """The table of one stage; the first line that matches a name counts."""
    if stage != "codec":
        return GPT_RULES
    return (*_upsampling_rules(config.codec), *CODEC_RULES)


def _upsampling_rules(codec: CodecConfig) -> list[Rule]:
    """EnCodec names transposed convolutions differently from all others."""
    first = 3 if codec.n_lstm else 2
    indices = range(first, first + 3 * len(codec.ratios), 3)
    return [
        Rule(
            f"decoder.layers.{i}.conv.{{p}}",
            f"decoder.model.{i}.convtr.convtr.{{p}}",
            f"decoder.layers.{i}.conv.{{p}}",
        )
        for i in indices
    ]


def translate(name: str, rules: Sequence[Rule], source: Dialect, target: Dialect) -> str | None:
    """`name` in another dialect, or None if no rule matches it."""
    for rule in rules:
        if match := _pattern(getattr(rule, source)).fullmatch(name):
            return getattr(rule, target).format(**match.groupdict())
    return None


@functools.cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w)\\\}", r"(?P<\1>\\w+)", re.escape(template)))


def normalise(name: str) -> str | None:
    """Undoes what wrappers and library versions do to a name; None for the causal masks' buffers.

    torch.compile and DataParallel prefix names; weight norm had `weight_g` and `weight_v` before
    PyTorch 2.1.
    """
    name = WRAPPERS.sub("", name)
    if name.endswith(".attn.bias"):
        return None
    for old, new in WEIGHT_NORM.items():
        name = name.replace(new, old)
    return name


# of torch.compile and of data-parallel training, in any order and however often
WRAPPERS = re.compile(r"^(_orig_mod\.|module\.)+")
WEIGHT_NORM = {
    ".weight_g": ".parametrizations.weight.original0",
    ".weight_v": ".parametrizations.weight.original1",
}


def parametrized(name: str) -> str:
    """The name that current transformers gives a tensor of weight norm."""
    for old, new in WEIGHT_NORM.items():
        name = name.replace(old, new)
    return name
