"""The original Bark's downloads on this machine, as one folder that can be converted."""

import os
from pathlib import Path

import huggingface_hub

from bark_jax.runtime.paths import cache_path, check_cache

VOCABULARY_REPOS = ("bert-base-multilingual-cased", "google-bert/bert-base-multilingual-cased")
CODEC = "encodec_24khz-d7cc33bc.th"
VOCABULARY = "vocab.txt"


def suno_folder() -> Path:
    """Where the original keeps its three transformers."""
    return _cache_home() / "suno" / "bark_v0"


def find_downloads(small: bool) -> dict[str, Path | None]:
    """The five files of one size, by name; None for those that are not on this machine."""
    suffix = "" if small else "_2"
    torch_home = Path(os.environ.get("TORCH_HOME") or _cache_home() / "torch")
    files = {f"{kind}{suffix}.pt": suno_folder() for kind in ("text", "coarse", "fine")}
    files[CODEC] = torch_home / "hub" / "checkpoints"
    found = {name: folder / name for name, folder in files.items()}
    cached = (huggingface_hub.try_to_load_from_cache(r, VOCABULARY) for r in VOCABULARY_REPOS)
    vocabulary = next((Path(path) for path in cached if isinstance(path, str)), None)
    return {name: path if path.is_file() else None for name, path in found.items()} | {
        VOCABULARY: vocabulary
    }


def suno_downloads(small: bool) -> Path | None:
    """A folder of links to all files of one size, or None if any of them is missing."""
    files = find_downloads(small)
    if None in files.values():
        return None
    folder = cache_path("suno-downloads", "small" if small else "large")
    if not folder.is_dir():
        check_cache(folder)
        folder.mkdir(parents=True)
    for name, path in files.items():
        link = folder / name
        if path and not (link.is_symlink() and link.readlink() == path):
            link.unlink(missing_ok=True)
            link.symlink_to(path)
    return folder


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
