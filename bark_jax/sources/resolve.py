"""From a user's name for a model to a directory in our format: found, downloaded, converted once.

Converted models are kept in this package's cache, see `runtime/paths.py`.
"""

import contextlib
import dataclasses
import difflib
import hashlib
import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub.utils import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)

from bark_jax.checkpoint import (
    CONFIG_FILE,
    FORMAT,
    SAMPLING_FILE,
    is_model,
    load_config,
    load_source,
    save_config,
)
from bark_jax.config import STAGES
from bark_jax.runtime.files import read_json
from bark_jax.runtime.paths import NANO, build_in_cache, cache_path
from bark_jax.sources.hub import HubRepo, ModelNotFoundError
from bark_jax.text import SETTINGS_FILE

OWN_NAMES = ("nano", "untrained")  # whatever folders there are of these names
KNOWN = (*OWN_NAMES, "suno/bark", "suno/bark-small")
VOCABULARIES = ("vocab.txt", "tokenizer.json")  # of a Hugging Face repository
SHARD = re.compile(r"\w[\w.-]*", re.ASCII)
OUR_FILES = (
    CONFIG_FILE,
    SAMPLING_FILE,
    *(f"{part}/*" for part in (*STAGES, "tokenizer", "voices")),
)
REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
CONVERTED = ("models", FORMAT.replace("/", "-"))  # below the cache directory


def resolve_model(
    source: str | os.PathLike[str],
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    progress: bool = True,
) -> Path:
    """The directory, in this package's format, of the model that `source` names.

    Args:
      source: a directory (ours, Suno's or Hugging Face's layout); "nano", inside the package;
        "untrained", a tiny model that gives noise; or a repository on the Hugging Face hub, such as
        "suno/bark".
      revision: branch, tag or commit of the repository.
      local_files_only: use only what is on this machine; HF_HUB_OFFLINE=1 does the same.
      progress: show bars while downloading and converting.
    Raises:
      ModelNotFoundError: there is no such model, or it can't be fetched or converted here.
      ValueError: the files are there but are not a valid model.
    """
    if source == "nano":
        return NANO
    if source == "untrained":
        from bark_jax.sources.untrained import ensure_untrained  # which needs JAX

        return ensure_untrained()
    directory = Path(source).expanduser()
    if directory.is_dir():
        return _from_directory(directory, progress)
    if not isinstance(source, str) or not REPO_ID.fullmatch(source):
        near = difflib.get_close_matches(str(source), KNOWN, n=1)
        raise ModelNotFoundError(
            f'{str(source)!r} is not a directory, nor "nano", nor a repository such as suno/bark'
            + (f": did you mean {near[0]}?" if near else "")
        )
    with _progress_bars(progress):
        return _from_hub(HubRepo(source, revision, local_files_only), progress)


def _from_hub(repo: HubRepo, progress: bool) -> Path:
    home = cache_path(*CONVERTED, repo.name.replace("/", "--"))
    ref = home / f"{(repo.revision or 'main').replace('/', '--')}.ref"
    try:
        config = repo.fetch(CONFIG_FILE)
    except ModelNotFoundError:
        if ref.is_file() and (home / (commit := ref.read_text())).is_dir():
            return home / commit  # the hub's cache was cleared, or the hub is gone
        raise
    if config is None:
        raise ModelNotFoundError(f"{repo.name} holds no model: it has no {CONFIG_FILE}")
    commit = config.parent.name
    pinned = dataclasses.replace(repo, revision=commit)
    if is_model(config.parent):
        return pinned.fetch_all(OUR_FILES)
    model = build_in_cache(home / commit, lambda out: _convert_repo(pinned, out, progress))
    with contextlib.suppress(OSError):  # it serves where the hub's cache is gone, and may be absent
        if not ref.is_file() or ref.read_text() != commit:
            ref.write_text(commit)
    return model


def _convert_repo(repo: HubRepo, out: Path, progress: bool) -> None:
    """Downloads and converts; records where the model's voices are."""
    _convert(_download(repo), out, progress)
    origin = {"voices_repo": repo.name, "voices_revision": repo.revision}
    save_config(out, load_config(out), load_source(out) | origin)


def _download(repo: HubRepo) -> Path:
    """Fetches only what a conversion reads; returns the directory."""
    from bark_jax.conversion.huggingface import GENERATION_CONFIG, WEIGHTS

    for name in WEIGHTS:
        if name.endswith(".bin") and importlib.util.find_spec("torch") is None:
            raise _cannot_convert(repo.name, "torch")  # before gigabytes are downloaded
        if weights := repo.fetch(name) or _fetch_shards(repo, f"{name}.index.json"):
            break
    else:
        raise ModelNotFoundError(f"{repo.name} holds no weights: neither {' nor '.join(WEIGHTS)}")
    if not [name for name in VOCABULARIES if repo.fetch(name)]:
        raise ModelNotFoundError(f"{repo.name} has no tokenizer: no {' nor '.join(VOCABULARIES)}")
    for name in (GENERATION_CONFIG, SETTINGS_FILE, SAMPLING_FILE):
        repo.fetch(name)
    return weights.parent


def _fetch_shards(repo: HubRepo, name: str) -> Path | None:
    """Fetches all weight files that an index names; returns the index, if there is one."""
    from bark_jax.conversion.huggingface import weight_map

    if index := repo.fetch(name):
        for shard in set(weight_map(index).values()):
            if not SHARD.fullmatch(shard) or repo.fetch(shard) is None:
                raise ModelNotFoundError(f"{repo.name} lacks {shard!r}, which its {name} names")
    return index


def _from_directory(directory: Path, progress: bool) -> Path:
    if is_model(directory):
        return directory
    files = sorted(path for path in directory.iterdir() if path.is_file())
    if not any(path.name == CONFIG_FILE or path.suffix == ".pt" for path in files):
        raise ModelNotFoundError(
            f"{directory} holds no model: no {CONFIG_FILE} (ours or Hugging Face's), and no "
            "text.pt, coarse.pt and fine.pt (Suno's)"
        )
    if (config := directory / CONFIG_FILE) in files:
        read_json(config)  # a torn one is an error that says so, not another kind of model
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    key = hashlib.sha256(repr((directory.resolve(), stats)).encode()).hexdigest()[:16]
    out = cache_path(*CONVERTED, f"{directory.resolve().name}-{key}")
    return build_in_cache(out, lambda out: _convert(directory, out, progress))


def _convert(source: Path, out: Path, progress: bool) -> None:
    try:
        from bark_jax.conversion.convert import convert

        convert(source, out, progress=progress)
    except ImportError as error:
        raise _cannot_convert(str(source), error.name or str(error)) from error


def _cannot_convert(what: str, module: str) -> ModelNotFoundError:
    return ModelNotFoundError(
        f'{what} has to be converted once, which needs {module}: pip install "bark-jax[convert]"'
    )


@contextlib.contextmanager
def _progress_bars(shown: bool) -> Iterator[None]:
    if shown or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
