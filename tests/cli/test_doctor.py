"""`bark-jax doctor`: what it finds, what it warns of, and that it survives a broken jax."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from bark_jax.cli import command as cli
from bark_jax.cli import doctor
from bark_jax.runtime.paths import NANO

PACKAGED = {"path": str(NANO), "state": "nano, inside the package"}


@pytest.fixture(autouse=True)
def empty_caches(tmp_path, monkeypatch):
    """Caches of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("BARK_JAX_MODEL", "SUNO_USE_SMALL_MODELS", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def write(path: Path, content: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def test_the_report_for_people(capsys):
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("bark-jax 0.1.0, Python 3.")
    for title in ("versions", "devices", "environment", "caches", "voices", "warnings"):
        assert f"\n{title}\n" in out
    assert f"  jax               {jax.__version__}\n" in out
    assert f"\nmodels at hand (default: nano)\n  {NANO}: nano, inside the package\n" in out
    assert "  cpu   cpu, memory " in out and "  JAX_PLATFORMS=cpu\n" in out


def test_the_report_for_programs(capsys):
    assert cli.main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["bark_jax"] == "0.1.0"
    assert report["versions"]["jax"] == jax.__version__
    assert report["devices"][0]["platform"] == "cpu"
    assert report["devices"][0]["memory_bytes"] > 2**20
    assert report["models"] == [PACKAGED] and report["voices"][str(NANO)] == 2


def test_caches_that_take_no_files_are_reported(empty_caches, monkeypatch, capsys):
    place = empty_caches / "file"
    place.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    assert cli.main(["doctor"]) == 0
    told = capsys.readouterr().out.partition("\nwarnings\n")[2]
    reason = f"{place} takes no files (Not a directory)"
    assert f"nothing can be kept in the cache of models: {reason}; set XDG_CACHE_HOME\n" in told
    assert f"cache of compiled programs: {reason}; set XDG_CACHE_HOME or JAX_COMP" in told
    assert "cache of Hugging Face" not in told


def test_wrong_usage(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["doctor", "--loud"])
    assert exit_.value.code == 2
    assert "unrecognized arguments: --loud" in capsys.readouterr().err


def test_a_jax_that_does_not_start_is_reported(monkeypatch, capsys):
    def broken():
        raise RuntimeError("Unable to initialize backend\n'cuda'")

    monkeypatch.setattr(jax, "local_devices", broken)
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "jax does not work: RuntimeError: Unable to initialize backend 'cuda'" in out
    assert "\ndevices\n  none\n" in out


def test_memory_of_an_accelerator(monkeypatch):
    class Device:
        platform, device_kind = "gpu", "NVIDIA H100"

        def memory_stats(self):
            return {"bytes_limit": 80 * 2**30, "bytes_in_use": 5}

    monkeypatch.setattr(jax, "local_devices", lambda: [Device()])
    report = doctor.examine()
    assert report["devices"] == [
        {"platform": "gpu", "kind": "NVIDIA H100", "memory_bytes": 80 * 2**30, "used_bytes": 5}
    ]
    assert "  gpu   NVIDIA H100, memory 80.0 GiB" in list(doctor.lines_of(report))


@pytest.mark.parametrize(
    ("files", "platform", "warning"),
    [
        (["nvidia0"], "cpu", "an NVIDIA GPU is here, but jax runs on cpu"),
        (["nvidia0", "nvidiactl"], "gpu", None),
        (["nvidiactl"], "cpu", None),
        (["accel0"], "cpu", 'a TPU is here, but jax runs on cpu: pip install "bark-jax[tpu]"'),
        (["accel0"], "tpu", None),
        ([], "cpu", None),
    ],
)
def test_unused_accelerators(tmp_path, monkeypatch, files, platform, warning):
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setattr("shutil.which", lambda _: None)
    for name in files:
        write(tmp_path / "dev" / name)
    found = doctor.warn_of_devices([{"platform": platform}], tmp_path / "dev")
    assert len(found) == (warning is not None)
    assert warning is None or warning in found[0]


def test_the_variable_that_keeps_jax_off_a_gpu_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/nvidia-smi")
    (warning,) = doctor.warn_of_devices([{"platform": "cpu"}], tmp_path)
    assert "jax runs on cpu (JAX_PLATFORMS=cpu)" in warning


def test_packages_that_are_too_old(monkeypatch):
    wanted = ["numpy>=999", "jax>=0.1", "nothing-such>=1", 'torch>=999; extra == "convert"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: wanted)
    old, missing = doctor.warn_of_versions()
    assert old.startswith("numpy is ") and old.endswith("; bark-jax wants >=999")
    assert missing == "nothing-such is missing; bark-jax wants >=1"


def test_a_checkout_that_is_not_installed_has_no_requirements(monkeypatch):
    def not_installed(_):
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, "requires", not_installed)
    assert doctor.warn_of_versions() == []


def test_models_at_hand(empty_caches):
    ours = empty_caches / "bark_jax" / "models" / "mine"
    write(ours / "config.json")
    write(empty_caches / "bark_jax" / "models" / "mine.partial" / "mine" / "config.json")
    write(ours / "voices" / "v2" / "me.npz")
    for kind in ("text", "coarse", "fine"):
        write(empty_caches / "suno" / "bark_v0" / f"{kind}.pt")
    write(empty_caches / "hub" / "models--suno--bark-small" / "refs" / "main")
    write(empty_caches / "hub" / "models--other--thing" / "refs" / "main")
    report = doctor.examine()
    assert report["models"] == [
        PACKAGED,
        {"path": str(ours), "state": "ready"},
        {
            "path": "Suno's downloads, small",
            "state": "lacks encodec_24khz-d7cc33bc.th, vocab.txt",
        },
        {"path": str(empty_caches / "hub" / "models--suno--bark-small"), "state": "downloaded"},
    ]
    assert report["voices"][str(ours)] == 1


def test_complete_downloads_of_the_original(empty_caches, monkeypatch):
    for kind in ("text", "coarse", "fine"):
        write(empty_caches / "suno" / "bark_v0" / f"{kind}_2.pt")
    write(empty_caches / "torch" / "hub" / "checkpoints" / "encodec_24khz-d7cc33bc.th")
    write(empty_caches / "vocab.txt")
    vocab = str(empty_caches / "vocab.txt")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: vocab)
    assert doctor.find_models() == [
        PACKAGED,
        {"path": "Suno's downloads, large", "state": "converted at first use"},
    ]


def test_sizes_of_caches(empty_caches):
    write(empty_caches / "bark_jax" / "models" / "a" / "b", "x" * 1536)
    caches = doctor.find_caches()
    assert caches["models"]["bytes"] == 1536
    assert caches["compiled programs"]["bytes"] is None
    assert doctor._size(1536) == "1.5 KiB" and doctor._size(None) == "-"
    assert doctor._size(12) == "12 B" and doctor._size(3 * 2**50) == "3072.0 TiB"


def test_packages_are_not_imported_for_their_versions():
    code = (
        "import sys\nfrom bark_jax.cli.doctor import main\n"
        "main(['--json'])\nsys.exit('torch' in sys.modules)"
    )
    root = Path(cli.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, stdout=subprocess.DEVNULL)
    assert done.returncode == 0
    assert doctor.version_of("no-such-package") is None
