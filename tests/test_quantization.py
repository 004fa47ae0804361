"""Models with int8 and bfloat16 weights: what is stored, and what they compute."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bark_jax.checkpoint import load_stage
from bark_jax.config import TRANSFORMERS, weights_by_stage
from bark_jax.conversion.quantize import quantize_model
from bark_jax.formulations.cpu import Cpu
from bark_jax.formulations.cpu_kernels import CpuKernels
from bark_jax.formulations.reference import Reference
from bark_jax.formulations.tpu import Tpu
from bark_jax.models.binding import abstract_params, bind
from bark_jax.models.fine_gpt import FineGPT
from bark_jax.models.gpt import GPT
from bark_jax.params import flatten, unflatten
from bark_jax.pipeline import Bark
from bark_jax.quantization import LINEAR, quantize
from bark_jax.sources.resolve import resolve_model
from tests import tiny

MODELS = {"semantic": GPT, "coarse": GPT, "fine": FineGPT}


@pytest.mark.parametrize("stage", TRANSFORMERS)
@pytest.mark.parametrize("weights", ["bfloat16", "int8"])
def test_quantised_parameters_are_what_the_model_expects(stage, weights):
    execution = tiny.F32.with_weights(weights)
    want = abstract_params(MODELS[stage], getattr(tiny.CONFIG, stage), execution)
    got = quantize(tiny.stage_params(stage), weights)
    assert jax.tree.map(lambda z: (z.shape, z.dtype), want) == jax.tree.map(
        lambda z: (z.shape, z.dtype), got
    )


def test_int8_is_within_half_a_step_of_the_largest_value_of_each_output():
    before = flatten(tiny.stage_params("coarse"))
    before["h.0.attn.c_attn.weight"] = before["h.0.attn.c_attn.weight"].at[1].set(0.0)
    after = flatten(quantize(unflatten(before), "int8"))
    for name in filter(LINEAR.fullmatch, before):
        scale_O = np.asarray(after[name.removesuffix("weight") + "scale"])
        restored = np.asarray(after[name], np.float32) * scale_O[:, None]
        off = np.abs(restored - before[name]).max(1)
        assert np.all(off <= scale_O * 0.5001)  # and the rounding of float32
        assert np.abs(after[name]).max() <= 127
    untouched = [name for name in before if not LINEAR.fullmatch(name)]
    assert untouched and all(after[name] is before[name] for name in untouched)


@pytest.mark.parametrize("formulation", [Cpu(), CpuKernels(), Tpu(), Reference()])
def test_an_int8_model_computes_with_the_restored_weights(formulation):
    params = tiny.stage_params("coarse")
    flat = flatten(quantize(params, "int8"))
    for name in filter(LINEAR.fullmatch, flatten(params)):
        scale_O = flat.pop(name.removesuffix("weight") + "scale")
        flat[name] = flat[name].astype(jnp.float32) * scale_O[:, None]
    ids_BT = np.random.default_rng(0).integers(0, 40, (2, 5))

    def scores(execution, params):
        gpt = bind(GPT, tiny.CONFIG.coarse, execution, params=params)
        return gpt.logits(gpt(gpt.embed(ids_BT))[0], 3, 8)

    execution = dataclasses.replace(tiny.F32.with_weights("int8"), formulation=formulation)
    got = scores(execution, quantize(params, "int8"))
    # scaled after the product instead of before: float32 rounding of scores near 1
    np.testing.assert_allclose(got, scores(tiny.F32, unflatten(flat)), atol=1e-5)


@pytest.mark.parametrize(
    "formulation, weights, cache",
    [
        (CpuKernels(), "int8", "bfloat16"),
        (CpuKernels(), "bfloat16", "float32"),
        (Cpu(), "int8", "float32"),
    ],
)
def test_kernels_keep_keys_and_values_in_bfloat16_beside_int8(formulation, weights, cache):
    execution = dataclasses.replace(tiny.F32, formulation=formulation).with_weights(weights)
    assert execution.dtypes.cache == cache
    assert execution.dtypes.compute == "float32"


@pytest.mark.parametrize("weights", ["int8", "bfloat16"])
def test_rows_are_the_same_alone_and_in_a_batch(weights):
    bark = Bark.from_pretrained(weights=weights)
    texts = ["one", "another text", "three"]
    together = bark.generate(texts, seed=[3, 4, 5])
    for text, seed, row in zip(texts, [3, 4, 5], together, strict=True):
        alone = bark.generate(text, seed=seed)
        np.testing.assert_array_equal(alone.semantic, row.semantic)
        np.testing.assert_array_equal(alone.fine, row.fine)
    assert together[0].metadata()["made_by"]["weights"] == dict.fromkeys(TRANSFORMERS, weights)


def test_stages_may_differ():
    bark = Bark.from_pretrained("untrained", weights={"coarse": "int8"})
    assert bark.runner.execution_of("coarse").dtypes.weights == "int8"
    assert bark.runner.execution_of("semantic").dtypes.weights is None
    plain = Bark.from_pretrained("untrained")
    np.testing.assert_array_equal(bark.semantic("hello"), plain.semantic("hello"))


@pytest.mark.parametrize(
    "weights, message",
    [
        ("int4", "weights of the semantic stage: 'int4', want one of"),
        ({"codec": "int8"}, "weights has the stage 'codec', want some of"),
    ],
)
def test_other_formats_and_stages_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        weights_by_stage(weights)


def test_bfloat16_on_disk_is_bfloat16_in_memory(tmp_path):
    quantize_model(resolve_model("untrained"), tmp_path / "half", weights="bfloat16")
    bark = Bark.from_pretrained(tmp_path / "half")
    with bark.runner.on_device("coarse") as params:
        kinds = {name: leaf.dtype for name, leaf in flatten(params).items()}
    assert {kind for name, kind in kinds.items() if LINEAR.fullmatch(name)} == {
        jnp.dtype("bfloat16")
    }
    want = Bark.from_pretrained("untrained", weights="bfloat16").generate("hello", seed=3)
    np.testing.assert_array_equal(bark.generate("hello", seed=3).audio, want.audio)


def test_a_quantised_model_on_disk_is_the_one_in_memory(tmp_path):
    untrained = resolve_model("untrained")
    quantize_model(untrained, tmp_path / "int8", weights="int8")
    stored = Bark.from_pretrained(tmp_path / "int8")
    made = stored.generate("hello there", seed=3)
    want = Bark.from_pretrained("untrained", weights="int8").generate("hello there", seed=3)
    np.testing.assert_array_equal(made.audio, want.audio)
    assert made.metadata()["made_by"]["weights"] == dict.fromkeys(TRANSFORMERS, "int8")
    sizes = [
        sum(file.stat().st_size for file in (folder / "coarse").rglob("*") if file.is_file())
        for folder in (tmp_path / "int8", untrained)
    ]
    assert sizes[0] < sizes[1]
    with pytest.raises(ValueError, match="'bfloat16', but the model has them in 'int8'"):
        Bark.from_pretrained(tmp_path / "int8", weights="bfloat16")
    for of_others in (
        lambda: load_stage(tmp_path / "int8", "coarse"),
        lambda: quantize_model(tmp_path / "int8", tmp_path / "again"),
    ):
        with pytest.raises(ValueError, match="its weights are int8, which is for generating"):
            of_others()
    assert not (tmp_path / "again").exists()
