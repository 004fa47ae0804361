"""Imports point one way, and the library needs neither torch nor the scripts."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "bark_jax"

# A module imports only from lines above its own. A new module is put where it belongs; if it fits
# nowhere, it holds two ideas.
RANKS = [
    ["bark_jax"],
    ["config", "paths", "files", "environment", "progress", "host_memory", "models", "tracking"],
    ["backend"],
    ["evaluation", "evaluation.recognizer", "evaluation.wer", "evaluation.pitch"],
    ["evaluation.audio", "evaluation.spectrogram"],
    ["sampling_config", "noise", "sharding", "models.products"],
    ["compiling", "models.layers", "models.binding", "models.cache"],
    ["models.attention", "models.seanet"],
    ["models.gpt", "models.fine_gpt", "models.encodec", "checkpoint"],
    ["sampling", "decoding", "text"],
    ["growing", "untrained", "batching"],
    ["hub"],
    ["suno_downloads", "voices", "placement"],
    ["stages", "stages.checks", "stages.coarse_plan", "stages.semantic"],
    ["stages.semantic_stream", "stages.coarse", "stages.fine"],
    ["stages.runner"],
    ["generation", "loading"],
    ["throughput"],
    ["pipeline"],
    ["batch_files"],
    ["evaluation.tokens", "evaluation.entropy"],
    ["sweeps", "sweeps.settings", "sweeps.provenance", "sweeps.files"],
    ["sweeps.measure", "sweeps.results", "sweeps.progress"],
    ["sweeps.record"],
    ["sweeps.plan", "sweeps.batches", "sweeps.summary"],
    ["training", "training.manifest", "training.pcm"],
    ["training.spectral", "training.codebooks"],
    ["training.discriminator"],
    ["training.records", "training.forward", "training.corruption", "training.guide"],
    ["training.task", "training.cross_entropy"],
    ["training.semantic_task", "training.coarse_task", "training.fine_task", "training.examples"],
    ["training.codec_task"],
    ["training.tasks", "training.optimizer", "training.trainable", "training.mesh"],
    ["training.journal", "training.checkpoints", "training.schedule", "training.export"],
    ["training.new_model", "training.samples", "training.step", "training.batches"],
    ["training.settings", "training.estimate"],
    ["training.loop", "training.rundir"],
    ["training.finetune", "training.curve"],
    ["preparation", "preparation.corpus", "preparation.clips", "preparation.semantic_features"],
    ["preparation.semantic_tokenizers", "preparation.shard_builder", "preparation.clip_encoder"],
    ["preparation.semantic_training", "preparation.semantic_sources", "preparation.models"],
    ["preparation.clip_reader"],
    ["preparation.semantic_choice", "preparation.train_tokenizer"],
    ["preparation.prepare", "preparation.distill"],
    ["api", "arguments"],
    ["doctor", "report", "report.labels", "report.columns"],
    ["report.build"],
    ["report.command"],
    ["cli"],
    ["__main__"],
]
RANK = {name: rank for rank, names in enumerate(RANKS) for name in names}

FOREIGN = {"torch", "transformers", "hydra", "omegaconf", "encodec", "scripts", "tests"}
CONVERTERS = {"hub"}  # may call `conversion`, and only inside a function


def modules() -> dict[str, Path]:
    """Every module of the package, by its name without `bark_jax.`."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        found[".".join(parts) or "bark_jax"] = path
    return found


MODULES = modules()


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


def own_imports(path: Path) -> set[str]:
    """The modules of the package that a file imports."""
    names = imports_of(ast.parse(path.read_text()))
    inside = {n.removeprefix("bark_jax.") for n in names if n.startswith("bark_jax.")}
    return inside & MODULES.keys()


def test_every_module_has_a_rank():
    assert sorted(RANK) == sorted(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name):
    if name == "bark_jax":
        return  # it re-exports lazily, see below
    packages = {name.rpartition(".")[0]}  # importing a sibling names the package
    for imported in own_imports(MODULES[name]) - packages:
        assert RANK[imported] < RANK[name], f"{name} imports {imported}"


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


@pytest.mark.parametrize("name", MODULES)
def test_nothing_foreign_is_imported(name):
    tree = ast.parse(MODULES[name].read_text())
    roots = {imported.split(".")[0] for imported in imports_of(tree)}
    assert not roots & FOREIGN
    if "conversion" in roots:
        assert name in CONVERTERS
        at_once = ast.Module(
            [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)], []
        )
        assert "conversion" not in {n.split(".")[0] for n in imports_of(at_once)}


def test_conversion_does_not_import_what_stands_above_it():
    """The converter is a client of models, checkpoint and config; the pipeline calls it lazily."""
    for path in sorted((ROOT / "conversion").glob("*.py")):
        roots = {name.split(".")[0] for name in imports_of(ast.parse(path.read_text()))}
        assert not roots & {"scripts", "tests", "hydra", "omegaconf"}, path.name
