"""Every script starts from any folder, and ends with one line where something goes wrong."""

import errno
import importlib
import logging
import os
import subprocess
import sys
from pathlib import Path

import hydra
import pytest
from omegaconf.errors import MissingMandatoryValue

from bark_jax.cli.subcommands import SUBCOMMANDS
from bark_jax.programs import compose, launch  # noqa: F401  `compose` registers the config `quiet`

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path for path in (ROOT / "scripts").glob("*.py") if path.stem != "checkout")
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "audio.wav")
RUN = '{"step": 1, "elapsed_s": 1.0, "loss": 2.0}\n'


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Launches a task with the config of plot_training; exit code, stdout and stderr."""

    def run(task, *overrides: str, resumes: bool = False) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["program"])
        monkeypatch.chdir(tmp_path)
        code = 0
        try:
            argv = ["runs={}", *overrides]
            launch.launch(task, "train/plot_training", argv, extra="train", resumes=resumes)
        except SystemExit as error:
            if isinstance(error.code, str):
                print(error.code, file=sys.stderr)
            code = error.code if isinstance(error.code, int) else 1
        return code, *capsys.readouterr()

    return run


def raising(error: BaseException, behind: BaseException | None = None):
    def task(composed):
        raise error from behind

    return task


def script(name: str, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
    """A program as a user starts it."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "XLA_FLAGS")}
    command = [sys.executable, ROOT / "scripts" / name, *arguments]
    options = {"stdout": subprocess.PIPE, **options}
    return subprocess.run(
        command, env=environment, stderr=subprocess.PIPE, text=True, check=False, **options
    )


def test_every_command_with_settings_has_a_script_and_says_how_to_run_it():
    commands = {name: s.home for name, s in SUBCOMMANDS.items() if s.home.startswith("programs.")}
    own = {path.stem for path in SCRIPTS if "command(" not in path.read_text()}
    doors = {name.replace("-", "_") for name in commands}
    assert doors | own == {path.stem for path in SCRIPTS} and not doors & own
    for name, home in commands.items():
        module = importlib.import_module(f"bark_jax.{home.partition(':')[0]}")
        assert f"\nRun: bark-jax {name} " in str(module.__doc__)
    for name in own:
        docstring = (ROOT / "scripts" / f"{name}.py").read_text().split('"""')[1]
        assert f"\nRun: python scripts/{name}.py" in docstring


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_program_starts_from_any_folder_and_leaves_nothing_there(path, tmp_path):
    done = script(path.name, "--cfg", "job", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "path",
    [p for p in (ROOT / "configs").rglob("*.yaml") if "\n  - quiet\n" in p.read_text()],
    ids=lambda path: path.stem,
)
def test_hydra_is_quiet(path):
    with hydra.initialize_config_dir(str(path.parent), version_base="1.3"):
        composed = hydra.compose(path.stem, return_hydra_config=True).hydra
    assert composed.job_logging.root is None and composed.hydra_logging.root is None
    writes = path.stem == "generate"  # into a folder for each generation
    assert composed.output_subdir == (".hydra" if writes else None)
    assert (composed.run.dir == ".") != writes


def test_a_task_gets_its_config_and_says_what_it_likes(run):
    seen = []
    code, out, err = run(lambda composed: print("made", seen.append(composed.out)), "out=a.png")
    assert (code, out, err, seen) == (0, "made None\n", "", ["a.png"])


@pytest.mark.parametrize(
    "error, line",
    [
        (ValueError("steps=0,\n  want at least 1"), "steps=0, want at least 1"),
        (FileNotFoundError(2, "No such file", "a"), "a: No such file"),
        (RuntimeError("out of memory"), "out of memory"),
        (FloatingPointError("loss is nan"), "loss is nan"),
        (ImportError("not installed: jiwer; get it"), "not installed: jiwer; get it"),
        (ModuleNotFoundError("No module named 'optax'", name="optax"),
         'optax is not installed: pip install "bark-jax[train]"'),
        (MissingMandatoryValue("Missing mandatory value: data"), "Missing mandatory value: data"),
    ],
)  # fmt: skip
def test_what_a_user_can_mend_is_one_line(run, error, line):
    assert run(raising(error)) == (1, "", f"error: {line}\n")


@pytest.mark.parametrize(
    "overrides, part",
    [
        (["colour=red"], "Key 'colour' is not in struct"),
        (["runs=[a"], "no viable alternative at input"),
        (["hydra/launcher=none"], "Could not find 'hydra/launcher/none'"),
        (["--config-dir=nowhere"], "nowhere' not found"),
        (["--multirun", "--cfg=job"], "Only one of"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(run, overrides, part):
    code, out, err = run(lambda composed: None, *overrides)
    assert code == 1 and out == ""
    assert err.startswith("error: ") and part in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "task",
    [
        raising(FULL),
        raising(RuntimeError("cannot save the model"), FULL),
        raising(KeyError("step"), FULL),
        raising(ExceptionGroup("two threads", [KeyError("a"), FULL])),
        raising(Exception(f"RESOURCE_EXHAUSTED: Failed to write: {os.strerror(errno.ENOSPC)}")),
    ],
    ids=["plain", "wrapped", "behind a bug", "in a group", "as text"],
)
def test_a_full_disk_is_one_line(run, task):
    code, _, err = run(task)
    assert code == 1 and err.startswith("error: ") and err.count("\n") == 1
    assert os.strerror(errno.ENOSPC) in err


def test_a_full_disk_is_not_logged_by_every_thread_of_orbax(run, caplog):
    def task(composed):
        for error in (FULL, KeyError("other")):
            logging.getLogger("absl").error("a thread failed", exc_info=error)

    run(task)
    assert [record.exc_info[0] for record in caplog.records] == [KeyError]


def test_output_onto_a_full_disk_is_one_line():
    with open("/dev/full", "w") as full:
        done = script("benchmark.py", "--cfg", "job", stdout=full)
    assert done.returncode == 1
    assert done.stderr == f"error: [Errno {errno.ENOSPC}] {os.strerror(errno.ENOSPC)}\n"


def test_a_reader_that_is_gone_is_no_news():
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as pipe:
        done = script("benchmark.py", "--cfg", "job", stdout=pipe)
    assert (done.returncode, done.stderr) == (1, "")


def can_mount() -> bool:
    return os.geteuid() == 0 and not subprocess.run(["unshare", "--mount", "true"]).returncode


@pytest.mark.skipif(not can_mount(), reason="needs to mount a small disk")
def test_a_disk_that_is_really_full(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text(RUN)
    (tmp_path / "disk").mkdir()
    program = f"{sys.executable} {ROOT / 'scripts' / 'plot_training.py'}"
    command = (
        f"mount -t tmpfs -o size=8k none {tmp_path / 'disk'} && "
        f"{program} 'runs={{a: {tmp_path / 'run'}}}' out={tmp_path / 'disk' / 'loss.png'}"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == f"error: [Errno {errno.ENOSPC}] {os.strerror(errno.ENOSPC)}\n"


@pytest.mark.parametrize("resumes", [False, True])
def test_ctrl_c_is_one_line_and_130(run, resumes):
    code, _, err = run(raising(KeyboardInterrupt()), resumes=resumes)
    goes_on = "; the same command goes on from what is finished" if resumes else ""
    assert (code, err) == (130, f"interrupted{goes_on}\n")


def test_our_own_mistakes_keep_their_traceback(run):
    code, _, err = run(raising(KeyError("step")))
    assert code == 1 and "Traceback" in err and "KeyError: 'step'" in err


def test_tracebacks_can_be_asked_for(run, monkeypatch):
    monkeypatch.setenv(launch.FULL_ERROR, "1")
    with pytest.raises(ValueError, match="steps=0"):
        run(raising(ValueError("steps=0")))


def test_programs_that_a_task_starts_are_not_told_to_show_tracebacks(run):
    seen = []
    run(lambda composed: seen.append(os.environ.get(launch.FULL_ERROR)))
    assert seen == [None] and launch.FULL_ERROR not in os.environ
