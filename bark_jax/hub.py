"""From what a user calls a model to a directory of ours: found, downloaded, converted once.

Downloads rest in Hugging Face's own cache and obey its settings (HF_HOME, HF_ENDPOINT, HF_TOKEN,
HF_HUB_OFFLINE …); models made from them rest in this package's cache, see `paths.py`.
"""

import contextlib
import dataclasses
import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import constants, errors
from huggingface_hub.utils import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)

from bark_jax.checkpoint import CONFIG_FILE, FORMAT, load_config, load_source, save_config
from bark_jax.config import STAGES
from bark_jax.paths import NANO, build_once, cache_path
from bark_jax.untrained import ensure_untrained

VOCABULARIES = ("vocab.txt", "tokenizer.json")  # of a Hugging Face repository
SHARD = re.compile(r"\w[\w.-]*", re.ASCII)
OUR_FILES = (CONFIG_FILE, *(f"{part}/*" for part in (*STAGES, "tokenizer", "voices")))
REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
CONVERTED = ("models", FORMAT.replace("/", "-"))  # below the cache directory


class ModelNotFoundError(OSError):
    """A model, or a part of one, can't be had; the message says in one line what and how to."""


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
      ValueError: the files are there and make no valid model.
    """
    if source == "nano":
        return NANO
    if source == "untrained":
        return ensure_untrained()
    directory = Path(source).expanduser()
    if directory.is_dir():
        return _from_directory(directory, progress)
    if not isinstance(source, str) or not REPO_ID.fullmatch(source):
        raise ModelNotFoundError(
            f'{str(source)!r} is no directory, nor "nano", nor a repository such as suno/bark'
        )
    with _progress_bars(progress):
        return _from_hub(HubRepo(source, revision, local_files_only), progress)


@dataclasses.dataclass(frozen=True)
class HubRepo:
    """Single files of one repository on the hub, through its cache."""

    name: str
    revision: str | None = None
    local_files_only: bool = False

    @property
    def _is_offline(self) -> bool:
        return self.local_files_only or constants.HF_HUB_OFFLINE

    def fetch(self, filename: str) -> Path | None:
        """A file of the repository, downloaded if need be; None if the repository has none such.

        Raises:
          ModelNotFoundError: neither the hub nor the cache can tell.
        """
        wanted: dict[str, Any] = {"filename": filename, "revision": self.revision}
        try:
            return Path(
                huggingface_hub.hf_hub_download(
                    self.name, **wanted, local_files_only=self._is_offline
                )
            )
        except Exception as error:
            is_local = isinstance(error, errors.LocalEntryNotFoundError)
            if isinstance(error, errors.EntryNotFoundError) and not is_local:
                return None
            if is_local and _is_known_absent(self.name, **wanted):
                return None
            raise self._error(filename, error) from error

    def fetch_all(self, patterns: tuple[str, ...]) -> Path:
        """The directory that holds all files of the repository that match one of `patterns`."""
        try:
            return Path(
                huggingface_hub.snapshot_download(
                    self.name,
                    revision=self.revision,
                    allow_patterns=list(patterns),
                    local_files_only=self._is_offline,
                )
            )
        except Exception as error:
            missing = re.search(r"file\(s\) are missing \((.*?)\)\.", str(error))
            raise self._error(missing[1] if missing else "a file", error) from error

    def _error(self, filename: str, error: Exception) -> ModelNotFoundError:
        if isinstance(error, errors.RevisionNotFoundError):
            return ModelNotFoundError(f"{self.name} has no revision {self.revision!r} on the hub")
        if isinstance(error, errors.RepositoryNotFoundError):
            return ModelNotFoundError(
                f"{constants.ENDPOINT} has no repository {self.name!r}, or it is not yours to "
                "read: check the name, or log in with `hf auth login`"
            )
        at = f"{self.name} at {self.revision}" if self.revision else self.name
        if isinstance(error, errors.LocalEntryNotFoundError):
            if self._is_offline:
                return ModelNotFoundError(
                    f"{filename} of {at} is not on this machine and downloads are switched off: "
                    "run once without local_files_only, --offline and HF_HUB_OFFLINE"
                )
            error = error.__cause__ if isinstance(error.__cause__, Exception) else error
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        return ModelNotFoundError(
            f"{filename} of {at} can't be downloaded from {constants.ENDPOINT}: {reason}; "
            "run again when that is put right, complete files are kept"
        )


def _is_known_absent(repo: str, **wanted: Any) -> bool:
    """Whether an earlier download learnt that the repository lacks the file."""
    found = huggingface_hub.try_to_load_from_cache(repo, **wanted)
    return found is huggingface_hub._CACHED_NO_EXIST


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
    if _is_ours(config):
        return pinned.fetch_all(OUR_FILES)
    model = build_once(home / commit, lambda out: _convert_repo(pinned, out, progress))
    ref.write_text(commit)
    return model


def _convert_repo(repo: HubRepo, out: Path, progress: bool) -> None:
    """Downloads and converts; notes where the model's voices can be had."""
    _convert(_download(repo), out, progress)
    origin = {"voices_repo": repo.name, "voices_revision": repo.revision}
    save_config(out, load_config(out), load_source(out) | origin)


def _download(repo: HubRepo) -> Path:
    """Fetches what a conversion reads, and nothing else; the directory."""
    from conversion.huggingface import GENERATION_CONFIG, WEIGHTS

    for name in WEIGHTS:
        if name.endswith(".bin") and importlib.util.find_spec("torch") is None:
            raise _cannot_convert(repo.name, "torch")  # before gigabytes are downloaded
        if weights := repo.fetch(name) or _fetch_shards(repo, f"{name}.index.json"):
            break
    else:
        raise ModelNotFoundError(f"{repo.name} holds no weights: neither {' nor '.join(WEIGHTS)}")
    if not [name for name in VOCABULARIES if repo.fetch(name)]:
        raise ModelNotFoundError(f"{repo.name} has no tokenizer: no {' nor '.join(VOCABULARIES)}")
    repo.fetch(GENERATION_CONFIG)
    return weights.parent


def _fetch_shards(repo: HubRepo, name: str) -> Path | None:
    """Fetches all weight files that an index names; the index, if there is one."""
    if index := repo.fetch(name):
        for shard in set(json.loads(index.read_text())["weight_map"].values()):
            if not SHARD.fullmatch(shard) or repo.fetch(shard) is None:
                raise ModelNotFoundError(f"{repo.name} lacks {shard!r}, which its {name} names")
    return index


def _from_directory(directory: Path, progress: bool) -> Path:
    if _is_ours(directory / CONFIG_FILE):
        return directory
    files = sorted(path for path in directory.iterdir() if path.is_file())
    if not any(path.name == CONFIG_FILE or path.suffix == ".pt" for path in files):
        raise ModelNotFoundError(
            f"{directory} holds no model: no {CONFIG_FILE} (ours or Hugging Face's), and no "
            "text.pt, coarse.pt and fine.pt (Suno's)"
        )
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    key = hashlib.sha256(repr((directory.resolve(), stats)).encode()).hexdigest()[:16]
    out = cache_path(*CONVERTED, f"{directory.resolve().name}-{key}")
    return build_once(out, lambda out: _convert(directory, out, progress))


def _convert(source: Path, out: Path, progress: bool) -> None:
    try:
        from conversion.convert import convert

        convert(source, out, progress=progress)
    except ImportError as error:
        raise _cannot_convert(str(source), error.name or str(error)) from error


def _cannot_convert(what: str, module: str) -> ModelNotFoundError:
    return ModelNotFoundError(
        f'{what} has to be converted once, which needs {module}: pip install "bark-jax[convert]"'
    )


def _is_ours(config: Path) -> bool:
    try:
        return str(json.loads(config.read_text())["format"]).startswith("bark_jax/")
    except (OSError, ValueError, KeyError, TypeError):
        return False


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
