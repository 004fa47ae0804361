"""Single files of a repository on the Hugging Face hub.

Downloads are kept in Hugging Face's own cache and obey its settings (HF_HOME, HF_ENDPOINT,
HF_TOKEN, HF_HUB_OFFLINE …).
"""

import dataclasses
import functools
import re
import time
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import constants, errors

from bark_jax.runtime.notices import first_line

SILENT_S = 60  # for which an answer of the hub, or none, is believed


class ModelNotFoundError(OSError):
    """A model, or a part of one, is not available; the message says in one line how to get it."""


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
        """A file of the repository, downloaded if necessary; None if the repository lacks it.

        Raises:
          ModelNotFoundError: neither the hub nor the cache can tell.
        """
        wanted: dict[str, Any] = {"filename": filename, "revision": self.revision}
        silence = self._why_silent()
        is_offline = self._is_offline or silence is not None
        try:
            return Path(
                huggingface_hub.hf_hub_download(self.name, **wanted, local_files_only=is_offline)
            )
        except Exception as error:
            is_local = isinstance(error, errors.LocalEntryNotFoundError)
            if isinstance(error, errors.EntryNotFoundError) and not is_local:
                return None
            if is_local and _is_known_absent(self.name, **wanted):
                return None
            raise self._error(filename, silence or error) from error

    def fetch_all(self, patterns: tuple[str, ...]) -> Path:
        """The directory that holds all files of the repository that match one of `patterns`.

        Raises:
          ModelNotFoundError: they cannot be downloaded, or are not in the cache when offline.
        """
        silence = self._why_silent()
        try:
            return Path(
                huggingface_hub.snapshot_download(
                    self.name,
                    revision=self.revision,
                    allow_patterns=list(patterns),
                    local_files_only=self._is_offline or silence is not None,
                )
            )
        except Exception as error:
            missing = re.search(r"file\(s\) are missing \((.*?)\)\.", str(error))
            raise self._error(missing[1] if missing else "a file", silence or error) from error

    def _why_silent(self) -> Exception | None:
        """Why the hub does not answer; None if it does, or is not to be asked."""
        if self._is_offline:
            return None
        return _ask(constants.ENDPOINT, int(time.monotonic() // SILENT_S))

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
        return ModelNotFoundError(
            f"{filename} of {at} can't be downloaded from {constants.ENDPOINT}: "
            f"{first_line(error)}; "
            "run again when that is put right, complete files are kept"
        )


@functools.lru_cache(maxsize=1)
def _ask(endpoint: str, _period: int) -> Exception | None:
    """Asks the hub for a sign of life: once, where its client tries each file for half a minute."""
    try:
        huggingface_hub.get_session().head(endpoint, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception as error:
        return error
    return None


def _is_known_absent(repo: str, **wanted: Any) -> bool:
    """Whether the cache knows that the repository lacks the file."""
    found = huggingface_hub.try_to_load_from_cache(repo, **wanted)
    return found is huggingface_hub._CACHED_NO_EXIST
