"""What the wheel installs, alone in an empty folder, does all that the README shows."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from bark_jax.sources.untrained import write_random
from tests import tiny

ROOT = Path(__file__).parents[1]
SOURCES = ["bark_jax", "configs", "hydra_plugins", "pyproject.toml", "setup.py", "README.md"]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]

pytestmark = pytest.mark.thorough


def build(folder: Path, **environment: str) -> Path:
    """A wheel of a copy: setuptools would pack what an earlier build has left in the checkout."""
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.so"))
        else:
            shutil.copy(ROOT / name, folder / name)
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet"]
    command = [*PIP, "wheel", *options, "-w", folder / "dist", folder]
    subprocess.run(command, check=True, env=os.environ | environment)
    return next((folder / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def command(wheel, tmp_path_factory):
    """Runs `bark-jax` of a fresh environment, and returns what it prints.

    It borrows the packages of this one, but not the project itself: that is installed here in a way
    (`pip install --editable`) that works in this environment's own folder only.
    """
    folder = tmp_path_factory.mktemp("fresh")
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    install = [*PIP, "--python", python, "install", "--no-deps", "--no-index", "--quiet", wheel]
    subprocess.run(install, cwd=folder, env=alone, check=True)
    environment = alone | {"PYTHONPATH": sysconfig.get_path("purelib")}
    (folder / "empty").mkdir()

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(
            [folder / "bin" / "bark-jax", *arguments],
            cwd=folder / "empty", env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    code = "import bark_jax; print(bark_jax.__file__)"
    done = subprocess.run(
        [python, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout).is_relative_to(folder)
    return run


def test_it_holds_the_package_with_its_settings_and_no_other_name(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in names} == {"bark_jax", "hydra_plugins"}
    files = [
        path
        for folder in ("bark_jax", "hydra_plugins", "configs")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    wanted = {path.relative_to(ROOT).as_posix() for path in files}
    assert {name.removeprefix("bark_jax/configs/") for name in names} == {
        name.removeprefix("configs/") for name in wanted
    }


def test_a_sweep_and_its_report(command):
    point = ["prompts.text=[red car]", "metrics=fast", "hydra/launcher=vectorized"]
    command("sweep", *point, "seed=1,2", "sampling=greedy", "hydra.sweep.dir=OUT")
    page = command("report", "OUT")
    assert page == "OUT/report/index.html\n"


def test_a_model_trained_on_its_own_speech_and_on_recordings(command, tmp_path):
    (tmp_path / "lines.txt").write_text("red car\nblue house\n")
    data, run = tmp_path / "data", tmp_path / "run"
    made = command(
        "distill-data", f"texts={tmp_path / 'lines.txt'}", f"out={data}", "model.source=nano",
        "eval_share=0", "require_eos=false",
    )  # fmt: skip
    assert made.startswith("train: 2 records")
    command(
        "finetune", "stage=semantic", f"data={data}", "model.source=nano", f"out={run}",
        "steps=3", "batch_size=2",
    )  # fmt: skip
    text = "please call me back tomorrow morning"
    command(text, "-o", tmp_path / "one.wav", "--model", run / "export", "--seed", "1")
    row = {"audio": str(tmp_path / "one.wav"), "text": text}
    (tmp_path / "corpus.jsonl").write_text(json.dumps(row))
    made = command(
        "prepare-data", f"manifest={tmp_path / 'corpus.jsonl'}", f"out={tmp_path / 'recorded'}",
        "model.source=nano", "semantic=kmeans", "eval_share=0",
    )  # fmt: skip
    assert made.startswith("train: 1 records")


def test_a_model_there_and_back(command, tmp_path):
    tokens = dataclasses.replace(tiny.LAYOUT, codebook_size=16, fine_hop=28)
    codec = dataclasses.replace(tiny.CONFIG.codec, codebook_size=16)
    config = dataclasses.replace(tiny.CONFIG, tokens=tokens, codec=codec)
    write_random(tmp_path / "made", config)
    command("export", "--model", tmp_path / "made", "--out", tmp_path / "hf", "--format", "hf")
    assert (tmp_path / "hf" / "model.safetensors").is_file()
    command("convert", "--source", tmp_path / "hf", "--out", tmp_path / "model")
    assert "100.00%" in command(
        "verify", "--source", tmp_path / "hf", "--model", tmp_path / "model"
    )


@pytest.mark.parametrize("compiler", [shutil.which("c++"), "/no/compiler"])
def test_kernels_are_built_where_there_is_a_compiler(tmp_path, compiler):
    names = zipfile.ZipFile(build(tmp_path, CC=compiler or "", CXX=compiler or "")).namelist()
    has_kernels = any(name.startswith("bark_jax/kernels/_handlers") for name in names)
    assert has_kernels == (compiler is not None and compiler != "/no/compiler")
