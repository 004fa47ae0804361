"""Imports point one way, from room to room and inside them, and the library needs no torch."""

import ast
import functools
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A room is a module or a package with all that is in it. It imports only from rooms above its own
# line. A new room is put where it belongs; if it fits nowhere, it holds two ideas.
ROOMS = [
    "bark_jax",  # the version; its public names are imported when they are first used
    "bark_jax.numbers",
    "bark_jax.schema",
    "bark_jax.config",
    "bark_jax.params",
    "bark_jax.sound",
    "bark_jax.kernels",
    "bark_jax.formulations",
    "bark_jax.runtime",
    "bark_jax.processors",
    "bark_jax.tracking",
    "bark_jax.spelling",
    "bark_jax.letters",
    "bark_jax.lexicon",
    "bark_jax.text",
    "bark_jax.quantization",
    "bark_jax.sampling_config",
    "bark_jax.models",
    "bark_jax.hooks",
    "bark_jax.decoding",
    "bark_jax.checkpoint",
    "bark_jax.model_card",
    "bark_jax.voices",
    "bark_jax.conversion",
    "bark_jax.sources",
    "bark_jax.audio_files",
    "bark_jax.player",
    "bark_jax.generation",
    "bark_jax.guidance",
    "bark_jax.watching",
    "bark_jax.batching",
    "bark_jax.stages",
    "bark_jax.scoring",
    "bark_jax.loading",
    "bark_jax.infilling",
    "bark_jax.evaluation.wer",  # judges, which need no pipeline
    "bark_jax.evaluation.recognizer",
    "bark_jax.evaluation.dnsmos",
    "bark_jax.evaluation.speakers",
    "bark_jax.evaluation.judges",
    "bark_jax.long",
    "bark_jax.streaming",
    "bark_jax.pipeline",
    "bark_jax.repeating",
    "bark_jax.batch_files",
    "bark_jax.evaluation",
    "bark_jax.sweeps",
    "bark_jax.data",
    "bark_jax.training",
    "bark_jax.training.codec",
    "bark_jax.training.tasks",
    "bark_jax.training.run",
    "bark_jax.preparation",
    "bark_jax.api",
    "bark_jax.report",
    "bark_jax.programs",
    "bark_jax.cli",
    "bark_jax.__main__",
    "conversion",
    "hydra_plugins",
    "nano",
    "benchmarks",
    "scripts",
]
RANK = {name: rank for rank, name in enumerate(ROOMS)}
FOREIGN = {"torch", "transformers", "hydra", "omegaconf", "encodec", "scripts", "tests"}
ALLOWED = {  # what a room is there for
    "bark_jax.conversion": {"torch", "transformers"},
    "bark_jax.programs": {"hydra", "omegaconf"},
}


def modules() -> dict[str, Path]:
    """Every module outside the tests, by its dotted name."""
    found = {}
    for top in sorted({name.partition(".")[0] for name in ROOMS}):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def room_of(module: str) -> str:
    """The narrowest room that holds a module."""
    while module not in RANK:
        module = module.rpartition(".")[0]
    return module


def imports_of(tree: ast.AST) -> set[str]:
    """Dotted names that a module imports, wherever in it; `from a import b` gives a and a.b."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the direction"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return names


@functools.cache
def own_imports(name: str) -> set[str]:
    """The project's modules that a module imports, inside functions too; not its own packages."""
    packages = {name.rsplit(".", n)[0] for n in range(1 + name.count("."))}
    imported = imports_of(ast.parse(MODULES[name].read_text())) & MODULES.keys()
    # importing a name of a package that is a face imports what the face shows
    return imported - packages


# bark_jax itself imports its public names when they are first used
@pytest.mark.parametrize("name", sorted(MODULES.keys() - {"bark_jax"}))
def test_imports_point_up_the_list(name):
    for imported in own_imports(name):
        ours, theirs = room_of(name), room_of(imported)
        assert ours == theirs or RANK[theirs] < RANK[ours], f"{name} imports {imported}"


def test_no_modules_import_each_other_in_a_circle():
    arrows = {name: own_imports(name) for name in MODULES.keys() - {"bark_jax"}}
    TopologicalSorter(arrows).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize(
    "code, absent",
    [
        # `bark-jax --help` and `--version` need not wait for JAX
        ("import bark_jax.cli; bark_jax.__version__", {"jax"}),
        ("from bark_jax import Bark, Generation, SamplingConfig; import bark_jax.api", FOREIGN),
    ],
)
def test_importing_loads_no_more_than_it_must(code, absent):
    report = f"import sys; {code}; print(*{{name.split('.')[0] for name in sys.modules}})"
    run = [sys.executable, "-c", report]
    loaded = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not absent & set(loaded.split())


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("bark_jax")])
def test_the_library_imports_nothing_foreign(name):
    imported = imports_of(ast.parse(MODULES[name].read_text()))
    roots = {module.partition(".")[0] for module in imported}
    assert not roots & FOREIGN - ALLOWED.get(room_of(name), set())
