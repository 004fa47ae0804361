"""`config.json` and `generation_config.json` of transformers' Bark, to and from our config."""

import contextlib
import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from bark_jax.config import (
    BarkConfig,
    CodecConfig,
    FineGPTConfig,
    GPTConfig,
    TokenLayout,
    from_dict,
    to_dict,
)
from bark_jax.numbers import is_finite, shown
from bark_jax.sampling_config import BARK, SamplingConfig

SECTIONS = {
    "semantic": "semantic_config",
    "coarse": "coarse_acoustics_config",
    "fine": "fine_acoustics_config",
    "codec": "codec_config",
}
MODEL_TYPES = {
    "semantic": "semantic",
    "coarse": "coarse_acoustics",
    "fine": "fine_acoustics",
    "codec": "encodec",
}
# our field: (their field, its default where it is absent)
GPT_FIELDS = {
    "block_size": ("block_size", 1024),
    "input_vocab_size": ("input_vocab_size", 10_048),
    "output_vocab_size": ("output_vocab_size", 10_048),
    "n_layer": ("num_layers", 12),
    "n_head": ("num_heads", 12),
    "n_embd": ("hidden_size", 768),
    "bias": ("bias", True),
}
FINE_FIELDS = GPT_FIELDS | {
    "n_codes_total": ("n_codes_total", 8),
    "n_codes_given": ("n_codes_given", 1),
}
CODEC_FIELDS = {
    "sample_rate": ("sampling_rate", 24_000),
    "n_filters": ("num_filters", 32),
    "ratios": ("upsampling_ratios", [8, 5, 4, 2]),
    "latent_dim": ("hidden_size", 128),
    "kernel_size": ("kernel_size", 7),
    "residual_kernel_size": ("residual_kernel_size", 3),
    "n_lstm": ("num_lstm_layers", 2),
    "codebook_size": ("codebook_size", 1024),
}
# fixed in our codec, a choice in theirs
CODEC_KIND = {
    "audio_channels": 1,
    "compress": 2,
    "norm_type": "weight_norm",
    "normalize": False,
    "num_residual_layers": 1,
    "pad_mode": "reflect",
    "trim_right_ratio": 1.0,
    "use_causal_conv": True,
    "use_conv_shortcut": True,
}
BANDWIDTHS_KBPS = [1.5, 3.0, 6.0, 12.0, 24.0]
# section of the generation config: {their field: our field of the token layout}
LAYOUT_FIELDS = {
    "semantic_config": {
        "semantic_vocab_size": "semantic_vocab_size",
        "eos_token_id": "semantic_pad_token",
        "text_encoding_offset": "text_encoding_offset",
        "text_pad_token": "text_pad_token",
        "semantic_infer_token": "semantic_infer_token",
        "max_input_semantic_length": "text_length",
        "max_new_tokens": "max_semantic_tokens",
        "semantic_rate_hz": "semantic_rate_hz",
    },
    "coarse_acoustics_config": {
        "n_coarse_codebooks": "n_coarse_codebooks",
        "coarse_rate_hz": "coarse_rate_hz",
        "coarse_semantic_pad_token": "coarse_semantic_pad_token",
        "coarse_infer_token": "coarse_infer_token",
        "max_coarse_input_length": "coarse_semantic_length",
        "max_coarse_history": "max_coarse_history",
        "sliding_window_len": "coarse_window",
        # only ours: transformers has no such limits, and keeps fields that it does not know
        "min_coarse_history": "min_coarse_history",
        "max_coarse_input": "max_coarse_input",
    },
    "fine_acoustics_config": {
        "n_fine_codebooks": "n_fine_codebooks",
        "max_fine_input_length": "fine_window",
        "max_fine_history_length": "fine_history",
    },
    None: {"codebook_size": "codebook_size"},  # not in a section
}


def config_from_json(config: Mapping[str, Any], generation: Mapping[str, Any]) -> BarkConfig:
    """Our config from the content of the two files; the second may be empty.

    Raises:
      ValueError: this is not Bark, or a Bark that our model does not support.
    """
    if config.get("model_type") != "bark":
        raise ValueError(f"config.json has model_type={config.get('model_type')!r}, want 'bark'")
    with _in("generation_config.json"):
        tokens = _layout_from_json(generation)
    with _in("config.json"):
        sections = {stage: _section(config, name) for stage, name in SECTIONS.items()}
        with _in(SECTIONS["semantic"], GPT_FIELDS):
            semantic = from_dict(GPTConfig, _pick(sections["semantic"], GPT_FIELDS))
        with _in(SECTIONS["coarse"], GPT_FIELDS):
            coarse = from_dict(GPTConfig, _pick(sections["coarse"], GPT_FIELDS))
        with _in(SECTIONS["fine"], FINE_FIELDS):
            fine = from_dict(FineGPTConfig, _pick(sections["fine"], FINE_FIELDS))
        with _in(SECTIONS["codec"], CODEC_FIELDS):
            codec = _codec_from_json(sections["codec"])
        return BarkConfig(semantic=semantic, coarse=coarse, fine=fine, codec=codec, tokens=tokens)


@contextlib.contextmanager
def _in(where: str, fields: Mapping[str, tuple[str, Any]] | None = None) -> Iterator[None]:
    """Puts the place, and the names that fields have there, into errors of the block."""
    try:
        yield
    except (TypeError, ValueError) as error:
        text = str(error)
        for ours, (theirs, _) in (fields or {}).items():
            text = re.sub(rf"\b{ours}=", f"{theirs}=", text)
        raise ValueError(f"{where}: {text}") from error


def _section(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part of a JSON object; absent or null is empty."""
    section = content.get(name) or {}
    if not isinstance(section, Mapping):
        raise ValueError(f"{name}={shown(section)}, want an object of names and values")
    return section


def config_to_json(
    config: BarkConfig, sampling: SamplingConfig = BARK
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The inverse of `config_from_json`.

    Args:
      sampling: what transformers is to sample with by default, every value.
    Raises:
      ValueError: the format has no field for something in the token layout, or transformers would
        refuse the codec.
    """
    if (n_codes := config.codec.codebook_size) & (n_codes - 1):
        raise ValueError(f"transformers wants a power of two, not codec.codebook_size={n_codes}")
    generation: dict[str, Any] = _layout_to_json(config.tokens)
    generation["sample_rate"] = config.sample_rate
    if (back := _layout_from_json(generation)) != config.tokens:
        lost = [
            field.name
            for field in dataclasses.fields(TokenLayout)
            if getattr(back, field.name) != getattr(config.tokens, field.name)
        ]
        raise ValueError(f"Hugging Face's format has no place for tokens.{', tokens.'.join(lost)}")
    for stage, values in sampling.plain().items():
        generation[SECTIONS[stage]] |= _sampling_to_json(stage, values)
    content: dict[str, Any] = {"architectures": ["BarkModel"], "model_type": "bark"}
    for stage, section in SECTIONS.items():
        fields = {"codec": CODEC_FIELDS, "fine": FINE_FIELDS}.get(stage, GPT_FIELDS)
        values = to_dict(getattr(config, stage))
        content[section] = {"model_type": MODEL_TYPES[stage]} | {
            theirs: values[ours] for ours, (theirs, _) in fields.items()
        }
    content["codec_config"] |= CODEC_KIND | {
        "last_kernel_size": config.codec.kernel_size,
        "target_bandwidths": _bandwidths(config.codec),
    }
    return content, generation


def _pick(section: Mapping[str, Any], fields: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    """Our fields; transformers leaves out those that equal its defaults."""
    return {ours: section.get(theirs, absent) for ours, (theirs, absent) in fields.items()}


def _codec_from_json(section: Mapping[str, Any]) -> CodecConfig:
    values = _pick(section, CODEC_FIELDS)
    kind = CODEC_KIND | {
        "codebook_dim": values["latent_dim"],
        "last_kernel_size": values["kernel_size"],
    }
    got = {name: section.get(name, want) for name, want in kind.items()}
    got["codebook_dim"] = got["codebook_dim"] or values["latent_dim"]
    if others := [f"{n}={got[n]!r} (want {kind[n]!r})" for n in kind if got[n] != kind[n]]:
        raise ValueError(f"codec_config is of another kind of codec: {', '.join(others)}")
    codec = from_dict(CodecConfig, values)
    bandwidths = section.get("target_bandwidths", BANDWIDTHS_KBPS)
    if not (isinstance(bandwidths, list) and bandwidths and all(map(is_finite, bandwidths))):
        raise ValueError(f"target_bandwidths={shown(bandwidths)}, want a list of numbers")
    return dataclasses.replace(codec, n_codebooks=int(1000 * bandwidths[-1] // _bits_per_s(codec)))


def _bits_per_s(codec: CodecConfig) -> int:
    """Bit rate of one codebook."""
    return math.ceil(codec.frame_rate_hz) * math.ceil(math.log2(codec.codebook_size))


def _bandwidths(codec: CodecConfig) -> list[float]:
    """One for each power of two of codebooks [kbit/s]; the last tells how many there are."""
    powers = [2**n for n in range(1, 6) if 2**n < codec.n_codebooks]
    bits_per_s = _bits_per_s(codec)
    kbps = [n * bits_per_s / 1000 for n in (*powers, codec.n_codebooks)]
    if 1000 * kbps[-1] // bits_per_s < codec.n_codebooks:  # transformers' division rounds down
        kbps[-1] = math.nextafter(kbps[-1], math.inf)
    return kbps


def _layout_from_json(generation: Mapping[str, Any]) -> TokenLayout:
    values: dict[str, Any] = {}
    for name, fields in LAYOUT_FIELDS.items():
        section = generation if name is None else _section(generation, name)
        values |= {
            ours: section[theirs]
            for theirs, ours in fields.items()
            if section.get(theirs) is not None
        }
    if "fine_history" in values:
        values["fine_hop"] = values["fine_history"]  # a single number there
    return from_dict(TokenLayout, values)


def _layout_to_json(tokens: TokenLayout) -> dict[str, Any]:
    values = to_dict(tokens)
    generation: dict[str, Any] = {"model_type": "bark"}
    for name, fields in LAYOUT_FIELDS.items():
        section = {theirs: values[ours] for theirs, ours in fields.items()}
        if name is None:
            generation |= section
        else:
            generation[name] = section
    return generation


def _sampling_to_json(stage: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """One stage's values as transformers has them, as far as it has them."""
    temperature = values["temperature"]
    if stage == "fine":  # of which temperature 1 is taken for argmax there
        return {"temperature": math.nextafter(1, 2) if temperature == 1 else temperature or 1.0}
    section = {
        "do_sample": temperature > 0,
        "temperature": temperature or 1.0,
        "top_k": values["top_k"] or 0,
    }
    if values["top_p"] is not None:
        section["top_p"] = values["top_p"]
    return section | ({"min_eos_p": values["min_eos_p"]} if stage == "semantic" else {})
