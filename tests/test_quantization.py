"""Models with int8 and bfloat16 weights: what is stored, and what they compute."""

import dataclasses
import functools
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bark_jax import quantization
from bark_jax.checkpoint import load_stage, save_stage
from bark_jax.config import TRANSFORMERS, weights_by_stage
from bark_jax.conversion.quantize import quantize_model
from bark_jax.formulations.cpu import Cpu
from bark_jax.formulations.cpu_kernels import CpuKernels
from bark_jax.formulations.reference import Reference
from bark_jax.formulations.tpu import Tpu
from bark_jax.models.binding import abstract_params, bind
from bark_jax.models.fine_gpt import FineGPT
from bark_jax.models.gpt import GPT
from bark_jax.models.layers import Embedding
from bark_jax.params import flatten, unflatten
from bark_jax.pipeline import Bark
from bark_jax.quantization import MATRIX, quantized
from benchmarks.work import model_config
from tests import tiny, tones

MODELS = {"semantic": GPT, "coarse": GPT, "fine": FineGPT}


def quantize(params, weights):
    """The parameters of a stage as reading them in a format gives them."""
    changed = [quantized(name, array, weights) for name, array in flatten(params).items()]
    return unflatten({name: array for each in changed for name, array in each.items()})


@pytest.mark.parametrize("stage", TRANSFORMERS)
@pytest.mark.parametrize("weights", ["bfloat16", "int8"])
def test_quantised_parameters_are_what_the_model_expects(stage, weights):
    execution = tiny.F32.with_weights(weights)
    want = abstract_params(MODELS[stage], getattr(tiny.CONFIG, stage), execution)
    got = quantize(tiny.stage_params(stage), weights)
    assert jax.tree.map(lambda z: (z.shape, z.dtype), want) == jax.tree.map(
        lambda z: (z.shape, z.dtype), got
    )


def test_at_barks_sizes_int8_takes_a_quarter_of_the_bytes():
    """Counted, not made: 278 million parameters of the small model."""
    config = model_config("small")

    def n_bytes(execution):
        made = [abstract_params(MODELS[s], getattr(config, s), execution) for s in TRANSFORMERS]
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(made))

    whole, int8 = n_bytes(tiny.F32), n_bytes(tiny.F32.with_weights("int8"))
    assert 0.25 < int8 / whole < 0.255  # the scales, LayerNorms


def test_int8_is_within_half_a_step_of_the_largest_value_of_each_output():
    before = flatten(tiny.stage_params("coarse"))
    before["h.0.attn.c_attn.weight"] = before["h.0.attn.c_attn.weight"].at[1].set(0.0)
    after = flatten(quantize(unflatten(before), "int8"))
    for name in filter(MATRIX.fullmatch, before):
        scale_O = np.asarray(after[name.removesuffix("weight") + "scale"])
        restored = np.asarray(after[name], np.float32) * scale_O[:, None]
        off = np.abs(restored - before[name]).max(1)
        assert np.all(off <= scale_O * 0.5001)  # and the rounding of float32
        assert np.abs(after[name]).max() <= 127
    untouched = [name for name in before if not MATRIX.fullmatch(name)]
    assert untouched and all(after[name] is before[name] for name in untouched)


def test_what_is_rounded_some_rows_at_a_time_is_what_is_rounded_at_once(monkeypatch):
    table_RC = np.random.default_rng(0).normal(size=(23, 8)).astype(np.float32)
    at_once = [quantized("wte.weight", table_RC, to) for to in ("int8", "bfloat16")]
    monkeypatch.setattr(quantization, "AT_ONCE", 5 * table_RC[0].nbytes)
    for want, to in zip(at_once, ("int8", "bfloat16"), strict=True):
        jax.tree.map(np.testing.assert_array_equal, quantized("wte.weight", table_RC, to), want)


@pytest.mark.parametrize("weights", ["bfloat16", "int8"])
def test_a_table_gives_its_rows_and_widens_no_others(weights):
    table = tiny.stage_params("coarse")["wte"]
    kept = quantize({"wte": table}, weights)["wte"]
    n_rows, width = kept["weight"].shape
    make = functools.partial(Embedding, n_rows, width, tiny.F32.with_weights(weights))

    def rows(kept, ids):
        return bind(make, params=kept)(ids)

    whole = np.asarray(kept["weight"], np.float32)
    if weights == "int8":
        whole *= np.asarray(kept["scale"])[:, None]
    ids_BT = np.array([[3, 0], [n_rows - 1, 3]])
    np.testing.assert_array_equal(jax.jit(rows)(kept, ids_BT), whole[ids_BT])
    compiled = jax.jit(rows).lower(kept, ids_BT[:1, :1]).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < kept["weight"].nbytes


@pytest.mark.parametrize("formulation", [Cpu(), CpuKernels(), Tpu(), Reference()])
def test_an_int8_model_computes_with_the_restored_weights(formulation):
    ids_BT = np.random.default_rng(0).integers(0, 40, (2, 5))

    def coarse(execution, params):
        gpt = bind(GPT, tiny.CONFIG.coarse, execution, params=params)
        return gpt.logits(gpt(gpt.embed(ids_BT))[0], 3, 8)

    def fine(execution, params):
        codes_BTQ = ids_BT[..., None] % np.arange(4, 4 + tiny.CONFIG.fine.n_codes_total)
        gpt = bind(FineGPT, tiny.CONFIG.fine, execution, params=params)
        return gpt.logits(gpt(codes_BTQ, jnp.int32(2))[0], jnp.int32(2), 8)

    execution = dataclasses.replace(tiny.F32.with_weights("int8"), formulation=formulation)
    for stage, scores in {"coarse": coarse, "fine": fine}.items():
        kept = quantize(tiny.stage_params(stage), "int8")
        got = jax.jit(functools.partial(scores, execution))(kept)
        want = jax.jit(functools.partial(scores, tiny.F32))(restored(kept))
        # scaled after the product instead of before: float32 rounding of scores near 1
        np.testing.assert_allclose(got, want, atol=1e-5)


def restored(params):
    """The float32 matrices that int8 ones stand for."""
    flat = flatten(params)
    for name in [name for name in flat if name.endswith(".scale")]:
        scale_R = flat.pop(name)
        weight = name.removesuffix("scale") + "weight"
        flat[weight] = flat[weight].astype(jnp.float32) * scale_R[:, None]
    return unflatten(flat)


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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`tests.tiny`'s model as a directory."""
    return tones.write_model(tmp_path_factory.mktemp("quantization") / "model")


SHORT = {"semantic": {"max_duration_s": 0.6, "allow_early_stop": False}}


@pytest.mark.parametrize("weights", ["int8", "bfloat16"])
def test_rows_are_the_same_alone_and_in_a_batch(folder, weights):
    bark = Bark.from_pretrained(folder, weights=weights)
    texts = ["one", "another text", "three"]
    together = bark.generate(texts, seed=[3, 4, 5], sampling=SHORT)
    for text, seed, row in zip(texts, [3, 4, 5], together, strict=True):
        alone = bark.generate(text, seed=seed, sampling=SHORT)
        np.testing.assert_array_equal(alone.semantic, row.semantic)
        np.testing.assert_array_equal(alone.fine, row.fine)
    assert together[0].metadata()["made_by"]["weights"] == dict.fromkeys(TRANSFORMERS, weights)


def test_stages_may_differ(folder):
    bark = Bark.from_pretrained(folder, weights={"coarse": "int8"})
    assert bark.runner.execution_of("coarse").dtypes.weights == "int8"
    assert bark.runner.execution_of("semantic").dtypes.weights is None
    plain = Bark.from_pretrained(folder)
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


def check_same_model(got: Bark, want: Bark) -> None:
    """All that programs are made of, and all that they are given."""
    assert got.config == want.config
    for stage in TRANSFORMERS:
        assert got.runner.execution_of(stage) == want.runner.execution_of(stage)
        with got.runner.on_device(stage) as a, want.runner.on_device(stage) as b:
            assert jax.tree.map(lambda z: z.dtype, a) == jax.tree.map(lambda z: z.dtype, b)
            jax.tree.map(np.testing.assert_array_equal, a, b)


def test_bfloat16_on_disk_is_bfloat16_in_memory(folder, tmp_path):
    quantize_model(folder, tmp_path / "half", weights="bfloat16")
    bark = Bark.from_pretrained(tmp_path / "half")
    with bark.runner.on_device("coarse") as params:
        kinds = {name: leaf.dtype for name, leaf in flatten(params).items()}
    assert {kind for name, kind in kinds.items() if MATRIX.fullmatch(name)} == {
        jnp.dtype("bfloat16")
    }
    check_same_model(bark, Bark.from_pretrained(folder, weights="bfloat16"))


def test_int8_matrices_of_before_beside_tables_in_float32_are_read_as_those_of_now(
    folder, tmp_path
):
    """Until 2026-11-28 `quantize_model` left tables as they were."""
    quantize_model(folder, tmp_path / "int8", weights="int8")
    shutil.copytree(tmp_path / "int8", tmp_path / "before", ignore=lambda *_: ["fine"])
    now = flatten(load_stage(tmp_path / "int8", "fine", may_be_int8=True))
    floats = flatten(load_stage(folder, "fine"))
    tables = [name for name in floats if re.match("wtes|wpe", name)]
    before = now | {name: floats[name] for name in tables}
    for name in tables:
        del before[name.removesuffix("weight") + "scale"]
    save_stage(tmp_path / "before", "fine", unflatten(before))
    with Bark.from_pretrained(tmp_path / "before").runner.on_device("fine") as params:
        jax.tree.map(np.testing.assert_array_equal, flatten(params), now)


def test_a_quantised_model_on_disk_is_the_one_in_memory(folder, tmp_path):
    quantize_model(folder, tmp_path / "int8", weights="int8")
    stored = Bark.from_pretrained(tmp_path / "int8")
    check_same_model(stored, Bark.from_pretrained(folder, weights="int8"))
    made = stored.generate("hello", seed=3, sampling=SHORT)
    assert made.metadata()["made_by"]["weights"] == dict.fromkeys(TRANSFORMERS, "int8")
    sizes = [
        sum(file.stat().st_size for file in (of / "coarse").rglob("*") if file.is_file())
        for of in (tmp_path / "int8", folder)
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
