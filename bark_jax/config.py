"""Sizes and token layout of one Bark model, as frozen dataclasses.

Bark's own numbers are the default values here and appear nowhere else, so that one code path
serves the published models and models of any other size.
Source: suno-ai/bark @f4f32d4, bark/generation.py (constants) and bark/model.py (GPTConfig).
"""

import dataclasses
import math
import re
import typing
from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from bark_jax.numbers import as_whole, is_finite, is_whole, plain, shown
from bark_jax.schema import Between, Few, Id, Rate, Size, check_fields

DTYPES = ("float32", "bfloat16")  # number formats that a user may choose
WEIGHTS = (*DTYPES, "int8")  # those of the matrices of the transformers

FRACTION = re.compile(r"\d{1,20}(\.\d{1,20}|/\d{1,20})?", re.ASCII)
T = TypeVar("T")

# on a field that the first models' config.json does not have
LATER = MappingProxyType({"later": True})

STAGES = ("semantic", "coarse", "fine", "codec")
CODECS = ("seanet", "source_filter")
TRANSFORMERS = STAGES[:3]  # the stages that sample tokens


def weights_by_stage(weights: str | Mapping[str, str] | None) -> dict[str, str]:
    """The number format of each transformer's matrices, where it is given; see `WEIGHTS`.

    Args:
      weights: one for all three transformers, or some of them by stage.
    Raises:
      ValueError: an unknown format, or another stage.
    """
    if isinstance(weights, str):
        weights = {str(stage): weights for stage in TRANSFORMERS}
    formats = dict(weights or {})
    for stage, format in formats.items():
        if stage not in TRANSFORMERS:
            raise ValueError(f"weights has the stage {shown(stage)}, want some of {TRANSFORMERS}")
        if format not in WEIGHTS:
            raise ValueError(
                f"weights of the {stage} stage: {shown(format)}, want one of {WEIGHTS}"
            )
    return formats


@dataclasses.dataclass(frozen=True, kw_only=True)
class GPTConfig:
    """Sizes of one causal Bark transformer; fields follow `model_args` of the checkpoint."""

    block_size: Size = 1024  # rows of the position table
    input_vocab_size: Size  # ids the embedding accepts
    output_vocab_size: Size  # ids the head scores
    n_layer: Few
    n_head: Few
    n_embd: Size
    bias: bool = False  # in every Linear, and in the LayerNorms of a causal model

    def __post_init__(self) -> None:
        check_fields(self)
        if self.n_embd % self.n_head:
            raise ValueError(f"n_embd={self.n_embd} is not a multiple of n_head={self.n_head}")

    @property
    def head_dim(self) -> int:
        return self.n_embd // self.n_head


@dataclasses.dataclass(frozen=True, kw_only=True)
class FineGPTConfig(GPTConfig):
    """Sizes of the non-causal fine transformer: one embedding table per codebook."""

    n_codes_total: Few = 8
    n_codes_given: Few = 1  # codebooks that are never predicted

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.n_codes_given < self.n_codes_total:
            raise ValueError(
                f"n_codes_given={self.n_codes_given} is not in 1 … {self.n_codes_total - 1}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CodecConfig:
    """Sizes of an EnCodec model (SEANet encoder and decoder around a residual quantizer)."""

    sample_rate: Size = 24_000  # [Hz]
    n_filters: Size = 32  # channels next to the waveform; doubled at every stage
    ratios: tuple[Few, ...] = (8, 5, 4, 2)  # upsampling of the decoder, in its order
    latent_dim: Size = 128
    kernel_size: Few = 7  # first and last convolution
    residual_kernel_size: Few = 3
    n_lstm: Annotated[int, Between(0, 64)] = 2  # LSTM layers
    codebook_size: Size = 1024
    n_codebooks: Few = 32  # in the checkpoint; Bark uses the first 8
    # "source_filter" has of all sizes only the hop, the codes, the latents and those below
    kind: str = dataclasses.field(default="seanet", metadata=LATER)
    width: Size = dataclasses.field(default=192, metadata=LATER)  # of its layers
    n_blocks: Few = dataclasses.field(default=3, metadata=LATER)  # of its encoder and its decoder

    def __post_init__(self) -> None:
        check_fields(self)
        if self.kind not in CODECS:
            raise ValueError(f"codec.kind={self.kind!r} is not one of {CODECS}")

    @property
    def hop_length(self) -> int:
        """Audio samples per frame."""
        return math.prod(self.ratios)

    @property
    def frame_rate_hz(self) -> Fraction:
        return Fraction(self.sample_rate, self.hop_length)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenLayout:
    """Which id means what in each stage, and how long each stage's context is."""

    # semantic model, input: [text | history, summed] [infer] [generated]
    semantic_vocab_size: Size = 10_000
    semantic_pad_token: Id = 10_000  # also the end-of-sequence id among the logits
    text_encoding_offset: Id = 10_048  # word-piece id + offset = input id
    text_pad_token: Id = 129_595
    semantic_infer_token: Id = 129_599
    text_length: Size = 256  # of the text, and of the semantic history summed onto it
    max_semantic_tokens: Size = 768
    semantic_rate_hz: Rate = Fraction("49.9")
    # coarse model, input: [semantic] [infer] [coarse, codebooks interleaved]
    n_coarse_codebooks: Few = 2
    codebook_size: Size = 1024
    coarse_rate_hz: Rate = Fraction(75)  # frames per second, each of all codebooks
    coarse_semantic_pad_token: Id = 12_048
    coarse_infer_token: Id = 12_050
    coarse_semantic_length: Size = 256
    min_coarse_history: Id = 60
    max_coarse_history: Size = 630  # coarse tokens kept in the context
    coarse_window: Size = 60  # coarse tokens generated before the context moves
    max_coarse_input: Size = 768  # limit on max_coarse_history + coarse_window
    # fine model, input: frames of all codebooks
    n_fine_codebooks: Few = 8
    fine_window: Size = 1024  # [frames]
    fine_history: Id = 512  # [frames]
    fine_hop: Size = 512  # [frames]

    def __post_init__(self) -> None:
        check_fields(self)
        if self.semantic_pad_token != self.semantic_vocab_size:
            raise ValueError(
                f"semantic_pad_token={self.semantic_pad_token} must follow the last semantic id: "
                f"want {self.semantic_vocab_size}"
            )
        if not 0 < self.n_coarse_codebooks < self.n_fine_codebooks:
            raise ValueError(
                f"n_coarse_codebooks={self.n_coarse_codebooks} is not in "
                f"1 … {self.n_fine_codebooks - 1}"
            )
        if self.max_coarse_history + self.coarse_window > self.max_coarse_input:
            raise ValueError(
                f"max_coarse_history={self.max_coarse_history} + coarse_window="
                f"{self.coarse_window} exceed max_coarse_input={self.max_coarse_input}"
            )

    @property
    def coarse_per_semantic(self) -> Fraction:
        """Coarse tokens (all codebooks) per semantic token; 1500/499 for Bark."""
        return self.coarse_rate_hz / self.semantic_rate_hz * self.n_coarse_codebooks

    @property
    def fine_pad_token(self) -> int:
        """The id that stands for a code not known yet."""
        return self.codebook_size

    def coarse_offset(self, codebook: int) -> int:
        """First id of a codebook in the coarse model."""
        return self.semantic_vocab_size + codebook * self.codebook_size


@dataclasses.dataclass(frozen=True, kw_only=True)
class BarkConfig:
    """Everything that a model directory's `config.json` says about its arrays.

    Attributes:
      semantic: sizes of the transformer from text to semantic tokens.
      coarse: sizes of the transformer from semantic tokens to coarse codes.
      fine: sizes of the transformer from coarse codes to all codes.
      codec: sizes of EnCodec.
      tokens: which id means what in each stage, and how long each stage's context is.
    """

    semantic: GPTConfig
    coarse: GPTConfig
    fine: FineGPTConfig
    codec: CodecConfig = CodecConfig()
    tokens: TokenLayout = TokenLayout()

    def __post_init__(self) -> None:
        """Checks that the token layout fits into the three vocabularies and position tables."""
        check_fields(self)
        tokens = self.tokens
        last_semantic_input = max(
            tokens.text_pad_token, tokens.semantic_infer_token, tokens.semantic_pad_token
        )
        last_coarse_id = tokens.coarse_offset(tokens.n_coarse_codebooks) - 1
        # what is checked, value, smallest value that works
        limits = (
            ("semantic.input_vocab_size", self.semantic.input_vocab_size,
             1 + last_semantic_input),
            ("semantic.output_vocab_size", self.semantic.output_vocab_size,
             1 + tokens.semantic_pad_token),
            ("semantic.block_size", self.semantic.block_size,
             tokens.text_length + tokens.max_semantic_tokens),
            ("coarse.input_vocab_size", self.coarse.input_vocab_size,
             1 + max(last_coarse_id, tokens.coarse_semantic_pad_token, tokens.coarse_infer_token)),
            ("coarse.output_vocab_size", self.coarse.output_vocab_size, 1 + last_coarse_id),
            ("coarse.block_size", self.coarse.block_size,
             tokens.coarse_semantic_length + tokens.max_coarse_history + tokens.coarse_window),
            ("fine.input_vocab_size", self.fine.input_vocab_size, 1 + tokens.fine_pad_token),
            ("fine.output_vocab_size", self.fine.output_vocab_size, tokens.codebook_size),
            ("fine.block_size", self.fine.block_size, tokens.fine_window),
            ("codec.n_codebooks", self.codec.n_codebooks, tokens.n_fine_codebooks),
            ("codec.codebook_size", self.codec.codebook_size, tokens.codebook_size),
        )  # fmt: skip
        errors = [
            f"{name}={value}, want at least {low}" for name, value, low in limits if value < low
        ]
        if self.fine.n_codes_total != tokens.n_fine_codebooks:
            errors.append(
                f"fine.n_codes_total={self.fine.n_codes_total}, want n_fine_codebooks="
                f"{tokens.n_fine_codebooks}"
            )
        if errors:
            raise ValueError("model sizes do not fit the token layout: " + "; ".join(errors))

    @property
    def sample_rate(self) -> int:
        return self.codec.sample_rate


def from_dict(cls: type[T], data: Mapping[str, Any], *, complete: bool = False) -> T:
    """Builds a (nested) frozen config from plain data.

    Args:
      complete: no field may be missing, even if it has a default.
    Raises:
      TypeError: an unknown key, or a missing field that has no default; named.
      ValueError: a value that the class refuses; names the field.
    """
    hints = typing.get_type_hints(cls)
    if unknown := data.keys() - hints.keys():
        raise TypeError(
            f"{cls.__name__} has no field {sorted(map(str, unknown))}; it has {sorted(hints)}"
        )
    needed = {field.name for field in dataclasses.fields(cls) if not field.metadata.get("later")}  # pyright: ignore[reportArgumentType]
    if complete and (missing := needed - data.keys()):
        raise TypeError(f"{cls.__name__} lacks {', '.join(sorted(missing))}")
    return cls(**{k: _revive(hints[k], value, k, complete) for k, value in data.items()})


def to_dict(config: Any) -> dict[str, Any]:
    """The inverse of `from_dict`: plain data that JSON can hold."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def _revive(hint: Any, value: Any, name: str, complete: bool) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        try:
            return from_dict(hint, value, complete=complete)  # pyright: ignore[reportArgumentType]
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name}: {error}") from error
    value = plain(value) if hint in (int, bool, Fraction) else value
    if hint is Fraction:
        return _fraction(value, name)
    if hint is int:
        return as_whole(value)
    if hint is bool and is_whole(value) and value in (0, 1):
        return bool(value)
    return tuple(value) if isinstance(value, list) else value


def _fraction(value: Any, name: str) -> Fraction:
    """A number, or text such as "25" or "499/10"."""
    is_text = isinstance(value, str) and FRACTION.fullmatch(value)
    if not (is_text or is_finite(value) or isinstance(value, Fraction)):
        raise ValueError(f"{name}={shown(value)}, want a number")
    try:
        return Fraction(str(value))
    except ZeroDivisionError:
        raise ValueError(f"{name}={shown(value)}, want a number") from None


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, Fraction):
        return float(value) if value.denominator > 1 else int(value)
    return list(value) if isinstance(value, tuple) else value
