"""Compiles every stage for absent accelerators: what fits, what is copied, cycles."""

import dataclasses
import datetime
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from bark_jax.config import STAGES
from bark_jax.formulations.reference import Reference
from bark_jax.formulations.tpu import Tpu
from bark_jax.runtime.execution import Execution
from bark_jax.runtime.platforms import Options
from benchmarks.hlo import count_loop_copies, count_loop_kernels, estimate_cycles
from benchmarks.programs import Program, programs
from benchmarks.progress import say
from benchmarks.settings import ROOT, SIZES
from benchmarks.targets import TARGETS, Target
from benchmarks.work import model_config

SCHEMA = 1
SHIPPED = "as it is"
_OFF: Options = (("xla_tpu_enable_dot_strength_reduction", False),)


def _with_platform(execution: Execution, **choices: Any) -> Execution:
    return dataclasses.replace(
        execution, platform=dataclasses.replace(execution.platform, **choices)
    )


# What has been tried for TPU, as changes of the shipped choices.
FORMULATIONS: dict[str, Callable[[Execution], Execution]] = {
    SHIPPED: lambda shipped: shipped,
    "block_steps=16": lambda shipped: _with_platform(shipped, block_steps=16),
    "strength reduction off": lambda shipped: _with_platform(shipped, compiler_options=_OFF),
    "single rows alone": lambda shipped: dataclasses.replace(
        shipped, formulation=Tpu(doubles_single_row=False)
    ),
    "int8 weights": lambda shipped: shipped.with_weights("int8"),
    "reference": lambda shipped: dataclasses.replace(shipped, formulation=Reference()),
    "reference, strength reduction off": lambda shipped: dataclasses.replace(
        _with_platform(shipped, compiler_options=_OFF), formulation=Reference()
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class AotSettings:
    """Fields of configs/aot.yaml."""

    targets: tuple[str, ...] = ("v5e", "v6e")
    sizes: tuple[str, ...] = ("small", "large")
    batches: tuple[int, ...] = (1, 8, 64)
    programs: tuple[str, ...] = STAGES  # prefixes of names; "semantic decode" is one program
    formulations: tuple[str, ...] = (SHIPPED,)  # "all" = every one of FORMULATIONS
    out: str = "benchmarks/results"

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
          ValueError: says which setting is wrong and what it may be.
        """
        for name, given, allowed in (
            ("targets", self.targets, TARGETS),
            ("sizes", self.sizes, SIZES),
            ("programs", [program.partition(" ")[0] for program in self.programs], STAGES),
            ("formulations", self.formulations, (*FORMULATIONS, "all")),
        ):
            if wrong := [value for value in given if value not in allowed]:
                raise ValueError(f"{name}={wrong}, want some of {', '.join(allowed)}")
        if not self.batches or any(rows < 1 for rows in self.batches):
            raise ValueError(f"batches={self.batches}, want whole numbers >= 1")


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What the compiler says about one program."""

    size: str
    program: str
    rows: int
    formulation: str
    fits: bool
    compile_s: float
    argument_bytes: int = 0
    output_bytes: int = 0  # without outputs that reuse an argument's memory
    temp_bytes: int = 0
    loop_copies: int | None = None  # of arrays as large as a layer's keys; None without a cache
    loop_kernels: int | None = None  # that a GPU starts for a step; None elsewhere
    unit: str = ""
    cycles: int | None = None  # per unit, estimated; None where the compiler gives none


def run(settings: AotSettings) -> Iterator[dict[str, Any]]:
    """Compiles for target after target; yields the target's result so far after every program.

    Raises:
      ModuleNotFoundError: the compiler for a target is not installed; nothing has run.
    """
    from benchmarks.hardware import commit  # its packages are missing in tests

    for name in settings.targets:
        TARGETS[name].check_installed()
    for name in settings.targets:
        result = {
            "schema": SCHEMA,
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            **commit(),
            "jax": jax.__version__,
            "target": name,
            "compiled": [],
        }
        for made in compile_target(TARGETS[name], settings):
            result["compiled"].append(dataclasses.asdict(made))
            yield result


def compile_target(target: Target, settings: AotSettings) -> Iterator[Compiled]:
    names = FORMULATIONS if "all" in settings.formulations else settings.formulations
    for formulation in names:
        execution = FORMULATIONS[formulation](Execution.on(target.platform))
        done: set[Any] = set()
        for size in settings.sizes:
            for made in _compile_size(target, size, settings, execution, done):
                yield dataclasses.replace(made, size=size, formulation=formulation)


def _compile_size(
    target: Target, size: str, settings: AotSettings, execution: Execution, done: set[Any]
) -> Iterator[Compiled]:
    """Every program at every batch size; where one does not fit, also the largest that does."""
    config = model_config(size)
    for rows in sorted(settings.batches):
        for index, program in enumerate(programs(config, rows, execution)):
            while program.name.startswith(settings.programs):
                key = (program.name, program.rows, program.static["cfg"])  # one codec for all sizes
                if key in done:
                    break
                done.add(key)
                say(f"{size}: {program.name}, {program.rows} rows")
                made = compile_program(program, target)
                yield made
                if made.fits or program.rows == 1:
                    break
                program = list(programs(config, program.rows // 2, execution))[index]


def compile_program(program: Program, target: Target) -> Compiled:
    """Compiles one program."""
    begin = time.perf_counter()
    try:
        compiled = program.compile(target.lowers_to, target.sharding())
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        seconds = round(time.perf_counter() - begin, 1)
        return Compiled("", program.name, program.rows, "", False, seconds)
    seconds = round(time.perf_counter() - begin, 1)
    memory, text = compiled.memory_analysis(), compiled.as_text()
    output_bytes = memory.output_size_in_bytes - memory.alias_size_in_bytes
    live = memory.argument_size_in_bytes + output_bytes + memory.temp_size_in_bytes
    cycles = estimate_cycles(text)
    return Compiled(
        "", program.name, program.rows, "", live < target.memory_bytes, seconds,
        memory.argument_size_in_bytes, output_bytes, memory.temp_size_in_bytes,
        program.cache_values and count_loop_copies(text, program.cache_values),
        count_loop_kernels(text) if program.cache_values and target.platform == "gpu" else None,
        program.unit, cycles and cycles.per_unit(program.loop_passes),
    )  # fmt: skip


def write(result: Mapping[str, Any], settings: AotSettings) -> Path:
    """Writes one line of JSON; a result replaces an earlier one of the same target."""
    kind = (
        "formulations-" if len(settings.formulations) > 1 or "all" in settings.formulations else ""
    )
    path = ROOT / settings.out / f"aot-{kind}{result['target']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result) + "\n")
    return path


def render(result: Mapping[str, Any]) -> str:
    """A table in Markdown."""
    titles = ("size", "program", "rows", "formulation", "arguments", "output", "temporary",
              "copies in loops", "kernels", "cycles / 1000", "per", "compile s")  # fmt: skip
    rule = _row(["---"] * len(titles))
    lines = [f"{result['target']}, jax {result['jax']}; MiB", "", _row(titles), rule]
    return "\n".join(lines + [_row(_cells(made)) for made in result["compiled"]])


def _cells(made: Mapping[str, Any]) -> Sequence[str]:
    first = [made["size"], made["program"], str(made["rows"]), made["formulation"]]
    if not made["argument_bytes"]:
        return [*first, "does not fit", *[""] * 6, f"{made['compile_s']:.0f}"]
    memory = [f"{made[k] / 2**20:,.0f}" for k in ("argument_bytes", "output_bytes", "temp_bytes")]
    if not made["fits"]:
        memory[0] += " (does not fit)"
    copies, kernels, cycles = (made[k] for k in ("loop_copies", "loop_kernels", "cycles"))
    return [
        *first, *memory, "" if copies is None else str(copies),
        "" if kernels is None else str(kernels),
        "" if cycles is None else f"{cycles / 1000:,.0f}", made["unit"], f"{made['compile_s']:.0f}",
    ]  # fmt: skip


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
