"""`bark-jax sweep` and `generate` through Hydra, with a model that makes tones."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import hydra
import numpy as np
import pytest
import soundfile
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import ListConfig

from bark_jax.cli.command import main as bark_jax_command
from bark_jax.programs.compose import from_hydra
from bark_jax.runtime.files import write_json
from bark_jax.sweeps.point_files import METRICS_FILE, RESULT_FILES
from bark_jax.sweeps.settings import PointSettings
from tests.fake_bark import FakeBark, write_empty_model

ROOT = Path(__file__).parents[2]
GRID = ["sampling.semantic.temperature=0.5,0.9", "seed=1,2,3"]


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """A fake model wherever the programs load one."""
    import bark_jax.programs.points

    bark = FakeBark()
    bark.folder = write_empty_model(tmp_path / "model")
    monkeypatch.setattr(bark_jax.programs.points, "load_model", lambda settings: bark)
    return bark


@pytest.fixture
def sweep(fake, monkeypatch, tmp_path, capsys):
    """Runs `bark-jax sweep` with the fake model into a folder; its exit code and stderr."""

    def run(out: str, *overrides: str, command: str = "sweep") -> tuple[int, str]:
        where = "run" if command == "generate" else "sweep"
        argv = [
            "metrics=fast", f"model.source={fake.folder}", f"hydra.{where}.dir={tmp_path / out}",
        ]  # fmt: skip
        monkeypatch.setattr(sys, "argv", ["bark-jax"])
        capsys.readouterr()
        try:
            code = bark_jax_command([command, *argv, *overrides])
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
            print(error.code, file=sys.stderr)
        return code, capsys.readouterr().err

    return run


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def sounds_of(folder: Path) -> dict[str, bytes]:
    return {p.parent.name: soundfile.read(p)[0].tobytes() for p in folder.glob("*/audio.wav")}


def test_a_sweep_writes_a_folder_per_point_and_a_row_each(sweep, tmp_path):
    assert sweep("out", "prompts.text=[one two]", *GRID)[0] == 0
    folders = sorted((tmp_path / "out").glob("*/"))
    assert len(folders) == 6
    for folder in folders:
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
        assert names >= {"audio.wav", "tokens.npz", "metrics.json", ".hydra/config.yaml"}
        config = yaml.safe_load((folder / ".hydra" / "config.yaml").read_text())
        row = json.loads((folder / "metrics.json").read_text())
        assert config["seed"] == row["settings"]["seed"]
        assert row["provenance"]["bark_jax"] and "commit" in row["provenance"]
        tokens = np.load(folder / "tokens.npz")
        assert tokens["semantic_prompt"].shape == (6,)
        assert row["metrics"]["duration_s"] == pytest.approx(
            soundfile.info(folder / "audio.wav").duration
        )
    rows = rows_of(tmp_path / "out")
    points = [(row["sampling.semantic.temperature"], row["seed"]) for row in rows]
    assert points == [(t, s) for t in (0.5, 0.9) for s in (1, 2, 3)]
    assert {row["folder"] for row in rows} == {folder.name for folder in folders}


def test_launchers_give_the_same_folders_and_the_same_audio(sweep, fake, tmp_path):
    assert sweep("basic", *GRID)[0] == 0
    assert fake.calls == [1] * 6
    fake.calls.clear()
    assert sweep("vectorized", "hydra/launcher=vectorized", *GRID)[0] == 0
    assert fake.calls == [6]
    basic, vectorized = (sounds_of(tmp_path / name) for name in ("basic", "vectorized"))
    assert len(basic) == 6 and basic == vectorized
    for name in basic:
        files = [
            {path.name for path in (tmp_path / launcher / name).rglob("*") if path.is_file()}
            for launcher in ("basic", "vectorized")
        ]
        assert files[0] == files[1]


def test_lists_of_texts_and_voices_are_swept_over(sweep, tmp_path):
    texts = 'prompts.text=["say \\"hi\\"", "a, b = c", "${x}", "back\\\\slash"]'
    code, said = sweep("out", texts.replace("${", "\\${"), "voices.name=[null,alto]")
    assert code == 0, said
    points = [(row["prompts.text"], row["voices.name"]) for row in rows_of(tmp_path / "out")]
    wanted = ['say "hi"', "a, b = c", "${x}", "back\\\\slash"]
    assert points == [(text, voice) for text in wanted for voice in (None, "alto")]


@pytest.mark.parametrize("launcher", ["basic", "vectorized"])
def test_keys_that_look_like_numbers_name_folders(sweep, monkeypatch, tmp_path, launcher):
    keys = ["012345678901", "12e345678901", "1_2345678901"]
    monkeypatch.setattr(PointSettings, "key", lambda point: keys[point.seed])
    code, said = sweep("out", f"hydra/launcher={launcher}", "seed=0,1,2")
    assert code == 0, said
    assert sorted(folder.name for folder in (tmp_path / "out").glob("*/")) == sorted(keys)


@pytest.mark.parametrize("launcher", ["basic", "vectorized"])
def test_a_sweep_resumes(sweep, fake, tmp_path, launcher):
    assert sweep("out", f"hydra/launcher={launcher}", "seed=1,2")[0] == 0
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*/audio.wav")}
    gone = next(iter(times))
    (gone.parent / METRICS_FILE).unlink()  # as if killed before its end
    fake.calls.clear()
    code, said = sweep("out", f"hydra/launcher={launcher}", "seed=1,2,3")
    assert code == 0 and "2 points made" in said and "1 there already" in said
    assert sum(fake.calls) == 2
    kept = [path for path in times if path != gone]
    assert [path.stat().st_mtime_ns for path in kept] == [times[path] for path in kept]
    assert len(rows_of(tmp_path / "out")) == 3
    fake.calls.clear()
    assert sweep("out", f"hydra/launcher={launcher}", "seed=1,2,3")[0] == 0
    assert fake.calls == []


@pytest.mark.parametrize("launcher", ["basic", "vectorized"])
def test_a_failed_point_is_recorded_and_the_rest_goes_on(sweep, tmp_path, launcher):
    overrides = [f"hydra/launcher={launcher}", "voices.name=[alto,nobody,null]"]
    code, said = sweep("out", *overrides)
    assert code == 1
    assert "1 of 3 points failed" in said and "voice 'nobody' not found" in said
    rows = rows_of(tmp_path / "out")
    assert [row["status"] for row in rows] == ["done", "failed", "done"]
    assert rows[1]["error"] == "ValueError: voice 'nobody' not found"
    folder = tmp_path / "out" / rows[1]["folder"]
    assert [name for name in RESULT_FILES if (folder / name).exists()] == ["error.json"]
    assert "Traceback" in json.loads((folder / "error.json").read_text())["traceback"]
    code, said = sweep("out", *overrides)  # it is tried again, the others are not
    assert code == 1 and "0 points made" in said and "2 there already" in said


def test_a_model_that_breaks_takes_only_its_own_points_along(sweep, fake, tmp_path, monkeypatch):
    import bark_jax.programs.points

    def load(settings):
        if settings.dtype == "bfloat16":
            raise RuntimeError("out of memory")
        return fake

    monkeypatch.setattr(bark_jax.programs.points, "load_model", load)
    code, said = sweep(
        "out", "hydra/launcher=vectorized", "model.dtype=bfloat16,float32", "seed=1,2"
    )
    assert code == 1 and "2 of 4 points failed" in said
    assert [row["status"] for row in rows_of(tmp_path / "out")] == ["failed"] * 2 + ["done"] * 2


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["sampling.semantic.heat=1"], "Key 'heat' is not in struct"),
        (["sampling.semantic.temperature=0.5,-1"], "temperature=-1 is not allowed"),
        (["seed=1,2,1"], "points 0 and 2 of the sweep are equal"),
        (["prompts.text=[]"], "the sweep has no points"),
        (["seed=range(0,0)"], "the sweep has no points"),
        (["model.source=./nowhere"], "'./nowhere' is not a directory"),
        (["metrics.f0=perhaps"], "perhaps"),
    ],
)
def test_mistakes_end_a_sweep_before_anything_runs(sweep, fake, tmp_path, overrides, message):
    code, said = sweep("out", *overrides)
    assert code == 1 and message in said and "Traceback" not in said
    assert fake.calls == [] and not (tmp_path / "out").exists()


def test_results_of_another_version_are_not_mixed(sweep, fake, tmp_path):
    (tmp_path / "out").mkdir()
    write_json(tmp_path / "out" / "sweep.json", {"format": 0, "bark_jax": "0.0.1", "keys": []})
    code, said = sweep("out")
    assert code == 1 and "holds results of bark_jax 0.0.1" in said and fake.calls == []


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "sweep").glob("*.yaml")), ids=str)
def test_every_ready_made_sweep_composes(path):
    with hydra.initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        overrides = [f"sweep={path.stem}"]
        config = hydra.compose("sweep", overrides, return_hydra_config=True)
        params = OverridesParser.create().parse_overrides(
            [f"{name}={values}" for name, values in config.hydra.sweeper.params.items()]
        )
        columns = [list(param.sweep_string_iterator()) for param in params]
        n_lists = len(config.prompts.text) * len(ListConfig(config.voices.name or [None]))
        n_points = math.prod(map(len, columns)) * n_lists
        for param, column in zip(params, columns, strict=True):  # first and last of each field
            for value in (column[0], column[-1]):
                one = [*overrides, f"{param.key_or_group}={value}", "prompts=hello", "voices=none"]
                from_hydra(PointSettings, hydra.compose("sweep", one))
    head = path.read_text().splitlines()
    assert head[0] == "# @package _global_"
    assert head[1].startswith(f"# configs/sweep/{path.name}: ")
    assert f"= {n_points} points" in head[1]
    assert head[2].startswith(f"# Run: bark-jax sweep sweep={path.stem} ")
    assert head[3].startswith("# Expect: ")


def test_generate_makes_one_point(sweep, tmp_path, capsys):
    assert sweep("one", "prompts.text=hello", "seed=3", command="generate")[0] == 0
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {".hydra", "audio.wav", "tokens.npz", "metrics.json"}


def test_generate_says_what_is_wrong(sweep):
    code, said = sweep("one", "sampling.fine.temperature=-1", command="generate")
    assert code == 1 and "error: sampling.fine.temperature=-1 is not allowed" in said


def test_the_vectorized_launcher_says_what_it_needs(monkeypatch, tmp_path, capsys):
    (tmp_path / "app.yaml").write_text("a: 1\n")
    quiet = ["hydra/hydra_logging=none", "hydra/job_logging=none"]
    monkeypatch.setattr(sys, "argv", ["app", "-m", "hydra/launcher=vectorized", *quiet, "a=1,2"])
    app = hydra.main(version_base="1.3", config_path=str(tmp_path), config_name="app")
    with pytest.raises(SystemExit):
        app(lambda config: None)()
    assert "have its `points` attribute" in capsys.readouterr().err


def test_report_of_a_sweep(sweep, tmp_path, capsys):
    sweep("out", *GRID)
    assert bark_jax_command(["report", str(tmp_path / "out")]) == 0
    page = Path(capsys.readouterr().out.strip())
    assert page == tmp_path / "out" / "report" / "index.html" and page.is_file()


@pytest.mark.expensive
def test_real_launchers_give_the_same_audio(tmp_path):
    """The packaged model in processes of its own, as a user runs it, from anywhere."""
    point = ["prompts.text=[please call me back tomorrow]", *GRID, "metrics=fast"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    del environment["JAX_COMPILATION_CACHE_DIR"]  # it is the user's own that processes share
    launchers = {
        "basic": [],
        "vectorized": [],
        "joblib": ["hydra.launcher.n_jobs=2"],
        "submitit_local": ["hydra.launcher.timeout_min=10"],
    }
    found = {}
    for launcher, options in launchers.items():
        out = tmp_path / launcher
        overrides = [f"hydra/launcher={launcher}", *options, *point, f"hydra.sweep.dir={out}"]
        subprocess.run(
            [sys.executable, ROOT / "scripts" / "sweep.py", "model.source=nano", *overrides],
            check=True, cwd=tmp_path, env=environment | {"BARK_JAX_COMPILE_CACHE": "on"},
        )  # fmt: skip
        assert len(rows_of(out)) == 6
        found[launcher] = {
            path.parent.name: (np.load(path.with_name("tokens.npz")), soundfile.read(path)[0])
            for path in out.glob("*/audio.wav")
        }
    for launcher, sounds in found.items():
        assert sounds.keys() == found["basic"].keys(), launcher
        for key, (tokens, audio) in sounds.items():
            wanted_tokens, wanted_audio = found["basic"][key]
            for name in wanted_tokens:
                np.testing.assert_array_equal(tokens[name], wanted_tokens[name])
            # the decoder sums a row's values in another order in a batch; 1e-5 is inaudible
            np.testing.assert_allclose(audio, wanted_audio, atol=1e-5)
