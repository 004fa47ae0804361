"""No loop copies a cache: on CPU always; with -m aot on TPUs and GPUs that need not be there."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from bark_jax.decoding.noise import KeyNoise
from bark_jax.decoding.sampling import Filter
from bark_jax.formulations.cpu import Cpu
from bark_jax.runtime.execution import Execution
from bark_jax.sampling_config import BARK, per_row
from bark_jax.stages import coarse, semantic
from benchmarks.aot import AotSettings, compile_program, render
from benchmarks.hlo import Cycles, count_loop_copies, count_loop_kernels, estimate_cycles
from benchmarks.programs import programs
from benchmarks.settings import ROOT
from benchmarks.targets import TARGETS
from benchmarks.work import model_config
from tests import tiny

PROGRAM = """
%fused (p: f32[2,8]) -> f32[2,8] {
  ROOT %copy.1 = f32[2,8]{1,0} copy(%p)
}
%body (p: f32[2,8]) -> f32[2,8] {
  %copy.2 = f32[2,4]{1,0:T(8,128)} copy(%p), backend_config={"estimated_cycles":"5"}
  ROOT %f = f32[2,8]{1,0} fusion(%p), calls=%fused, backend_config={"estimated_cycles":"20"}
}
ENTRY %main (p: f32[2,8]) -> f32[2,8] {
  %copy.3 = f32[2,8]{1,0} copy(%p), backend_config={"estimated_cycles":"100"}
  ROOT %w = f32[2,8]{1,0} while(%copy.3), condition=%c, body=%body
}
%c (p: f32[2,8]) -> pred[] {
}
"""


def test_only_copies_inside_loops_count():
    assert count_loop_copies(PROGRAM, 16) == 1
    assert count_loop_copies(PROGRAM, 8) == 2
    assert count_loop_copies(PROGRAM, 17) == 0


def test_kernels_of_a_loop_are_counted_once_however_much_they_do():
    assert count_loop_kernels(PROGRAM) == 2
    assert count_loop_kernels(PROGRAM.replace("while(", "call(")) == 0


def test_cycles_are_summed_by_loop():
    cycles = estimate_cycles(PROGRAM)
    assert cycles == Cycles(outside=100, loops=(25,))
    assert cycles.per_unit(None) == 25
    assert cycles.per_unit(3) == 175
    assert estimate_cycles(PROGRAM.replace("estimated_cycles", "")) is None


def test_settings():
    hydra = pytest.importorskip("hydra", reason="needs the extra benchmark")
    from bark_jax.programs.compose import from_hydra

    with hydra.initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        assert from_hydra(AotSettings, hydra.compose("aot")) == AotSettings()
        with pytest.raises(ValueError, match=r"targets=\['v9'\], want some of v5e, v6e, h100"):
            from_hydra(AotSettings, hydra.compose("aot", ["targets=[v9]"]))
    with pytest.raises(ValueError, match=r"programs=.*decode.*, want some of semantic"):
        AotSettings(programs=("semantic decode", "decode"))


def test_table_says_what_does_not_fit():
    made = {
        "size": "small", "program": "semantic decode", "rows": 8, "formulation": "as it is",
        "fits": True, "compile_s": 1.6, "argument_bytes": 2**30, "output_bytes": 2**20,
        "temp_bytes": 0, "loop_copies": 0, "loop_kernels": None, "unit": "token",
        "cycles": 1_234_567,
    }  # fmt: skip
    refused = {**made, "rows": 16, "fits": False, "argument_bytes": 0}
    lines = render({"target": "v5e", "jax": "0.10.2", "compiled": [made, refused]}).splitlines()
    assert lines[-2] == (
        "| small | semantic decode | 8 | as it is | 1,024 | 1 | 0 | 0 |  | 1,235 | token | 2 |"
    )
    assert (
        lines[-1]
        == "| small | semantic decode | 16 | as it is | does not fit |  |  |  |  |  |  | 2 |"
    )


def semantic_loop(rows, options=None, execution=tiny.F32):
    """Text of the compiled token loop, and the values in a layer's keys."""
    values = per_row("semantic", BARK.semantic, rows)
    by, ending = Filter.of(values), semantic.Ending.of(values, tiny.LAYOUT)
    noise = KeyNoise.of([0] * rows, "semantic")
    params = tiny.stage_params("semantic")
    ids_BT = jnp.zeros((rows, 2 * tiny.LAYOUT.text_length + 1), jnp.int32)
    static = {"cfg": tiny.CONFIG, "execution": execution}
    state = semantic.begin(params, ids_BT, by, ending, noise, slots=128, **static)
    args = (params, state, by, ending, noise, jnp.int32(5))
    n_values = jax.tree.leaves(state.context.cache)[0].size
    return text_of(semantic.advance, rows, args, static, options), n_values


def coarse_loop(rows, options=None):
    """As `semantic_loop`."""
    by = Filter.of(per_row("coarse", BARK.coarse, rows))
    noise, params = KeyNoise.of([0] * rows, "coarse"), tiny.stage_params("coarse")
    ids_BP, length_B = jnp.zeros((rows, 40), jnp.int32), jnp.full(rows, 40)
    first = jnp.int32(0)
    static = {"cfg": tiny.CONFIG, "execution": tiny.F32}
    state = coarse.begin(params, ids_BP, length_B, by, noise, first, slots=128, **static)
    args = (params, state, by, noise, first, jnp.int32(5))
    n_values = jax.tree.leaves(state.context.cache)[0].size
    return text_of(coarse.advance, rows, args, static, options), n_values


def text_of(jitted, rows, args, static, options):
    function = jitted.for_platform(tiny.F32.platform, rows == 1)
    return function.lower(*args, **static).compile(options).as_text()


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("loop", [semantic_loop, coarse_loop])
def test_cpu_writes_its_cache_in_place(loop, rows):
    text, n_values = loop(rows)
    assert " while(" in text
    assert count_loop_copies(text, n_values) == 0


def test_cpu_writes_separate_heads_in_place():
    separate = dataclasses.replace(tiny.F32, formulation=Cpu(least_separate_heads=1))
    text, n_values = semantic_loop(2, execution=separate)
    assert n_values == 2 * tiny.CONFIG.semantic.head_dim * 128  # of one head
    assert count_loop_copies(text, n_values) == 0


def test_cpu_copies_its_cache_without_the_compiler_option():
    """The other way round, so that the test above is known to see a copy."""
    by_xla = dataclasses.replace(tiny.F32, formulation=Cpu())
    options = {"xla_cpu_copy_insertion_use_region_analysis": False}
    text, n_values = semantic_loop(2, options, execution=by_xla)
    assert count_loop_copies(text, n_values) > 0


# --- TPUs and GPUs that are not there ---


def installed(name):
    target = TARGETS[name]
    try:
        target.check_installed()
    except ModuleNotFoundError as error:
        pytest.skip(f"{error}; `make test-{target.platform}` installs it")
    return target


@pytest.fixture(scope="module", params=["v5e", "v6e"])
def target(request):
    return installed(request.param)


@pytest.mark.aot
@pytest.mark.parametrize("rows", [1, 8])
@pytest.mark.parametrize("size", ["small", "large"])
def test_tpu_programs_fit_and_copy_no_cache(target, size, rows):
    found = programs(model_config(size), rows, Execution.on(target.platform))
    made = [compile_program(program, target) for program in found]
    assert [m.program for m in made if not m.fits or m.loop_copies] == []
    assert [m.program for m in made if m.loop_copies == 0] == ["semantic decode", "coarse decode"]


@pytest.mark.aot
@pytest.mark.parametrize("name", ["semantic decode", "coarse decode"])
@pytest.mark.parametrize("rows", [1, 8])
def test_tpu_steps_with_int8_weights_take_no_more_cycles(target, rows, name):
    shipped = Execution.on(target.platform)
    cycles = []
    for execution in (shipped, shipped.with_weights("int8")):
        found = programs(model_config("small"), rows, execution)
        decode = next(program for program in found if program.name == name)
        cycles.append(compile_program(decode, target).cycles)
    assert cycles[1] < 1.05 * cycles[0]


@pytest.mark.aot
def test_what_does_not_fit_is_said_to(target):
    decode = list(programs(model_config("large"), 512, Execution.on(target.platform)))[1]
    made = compile_program(decode, target)
    assert made == dataclasses.replace(made, fits=False, argument_bytes=0)


@pytest.mark.aot
@pytest.mark.parametrize("weights", [None, "int8"])
@pytest.mark.parametrize("rows", [1, 8])
def test_gpu_steps_keep_no_second_cache_and_no_widened_weights(rows, weights):
    target = installed("h100")
    config, execution = model_config("large"), Execution.on("gpu").with_weights(weights)
    found = [p for p in programs(config, rows, execution) if p.name.endswith("decode")]
    made = [compile_program(program, target) for program in found]
    one_widened = 2 * 4 * config.semantic.n_embd**2  # bytes of the largest matrix of a layer
    assert [(m.loop_copies, m.temp_bytes < one_widened) for m in made] == [(0, True)] * 2
