"""Configs: consistent sizes, derived numbers, plain data there and back."""

import dataclasses
import json
from fractions import Fraction

import pytest

from bark_jax.config import (
    BarkConfig,
    CodecConfig,
    FineGPTConfig,
    GPTConfig,
    TokenLayout,
    from_dict,
    to_dict,
)
from tests import tiny

SIZES = dict(n_layer=1, n_head=2, n_embd=4)


def test_numbers_of_bark():
    layout, codec = TokenLayout(), CodecConfig()
    assert layout.coarse_per_semantic == Fraction(1500, 499)
    assert [layout.coarse_offset(q) for q in (0, 1)] == [10_000, 11_024]
    assert layout.fine_pad_token == 1024
    assert codec.hop_length == 320
    assert codec.frame_rate_hz == layout.coarse_rate_hz == 75


@pytest.mark.parametrize("config", [tiny.CONFIG, tiny.LAYOUT, tiny.CONFIG.codec, tiny.CONFIG.fine])
def test_round_trip_through_json(config):
    again = from_dict(type(config), json.loads(json.dumps(to_dict(config))))
    assert again == config
    assert hash(again) == hash(config)  # it is a static argument of jitted functions


def test_rates_stay_exact():
    assert to_dict(TokenLayout())["semantic_rate_hz"] == 49.9
    assert from_dict(TokenLayout, {"semantic_rate_hz": 49.9}).semantic_rate_hz == Fraction(499, 10)


def test_unknown_and_missing_fields_are_named():
    with pytest.raises(TypeError, match=r"GPTConfig has no field \['n_layers'\]; it has .*n_layer"):
        from_dict(GPTConfig, {"n_layers": 3})
    with pytest.raises(TypeError, match="n_layer"):
        from_dict(GPTConfig, {"n_head": 2, "n_embd": 4})


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: GPTConfig(input_vocab_size=1, output_vocab_size=1, n_layer=1, n_head=3, n_embd=4),
         "n_embd=4 is not a multiple of n_head=3"),
        (lambda: FineGPTConfig(input_vocab_size=1, output_vocab_size=1, n_codes_given=8, **SIZES),
         "n_codes_given=8 is not in 1 … 7"),
        (lambda: TokenLayout(semantic_pad_token=9_999), "semantic_pad_token=9999 must follow"),
        (lambda: TokenLayout(n_coarse_codebooks=8), "n_coarse_codebooks=8 is not in 1 … 7"),
        (lambda: TokenLayout(coarse_window=139), "exceed max_coarse_input=768"),
    ],
)  # fmt: skip
def test_impossible_sizes_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "stage, field, value, low",
    [
        ("semantic", "input_vocab_size", 111, 112),
        ("semantic", "output_vocab_size", 50, 51),
        ("semantic", "block_size", 51, 52),
        ("coarse", "input_vocab_size", 113, 114),
        ("coarse", "output_vocab_size", 109, 110),
        ("coarse", "block_size", 116, 117),
        ("fine", "block_size", 63, 64),
        ("codec", "n_codebooks", 4, 5),
        ("codec", "codebook_size", 19, 20),
    ],
)
def test_a_model_too_small_for_its_tokens_is_refused(stage, field, value, low):
    changed = dataclasses.replace(getattr(tiny.CONFIG, stage), **{field: value})
    with pytest.raises(ValueError, match=f"{stage}.{field}={value}, want at least {low}"):
        dataclasses.replace(tiny.CONFIG, **{stage: changed})


def test_all_misfits_are_named_at_once():
    small = GPTConfig(input_vocab_size=5, output_vocab_size=5, **SIZES)
    fine = FineGPTConfig(input_vocab_size=1056, output_vocab_size=1056, n_codes_total=4, **SIZES)
    with pytest.raises(ValueError) as error:
        BarkConfig(semantic=small, coarse=small, fine=fine)
    for part in ("semantic.input_vocab_size=5", "coarse.output_vocab_size=5", "n_codes_total=4"):
        assert part in str(error.value)
