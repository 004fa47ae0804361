"""What every kind of source gives to the converter, whatever its files are called."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bark_jax.config import BarkConfig
from conversion.rules import Dialect
from conversion.tensors import State

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A folder whose files are found and whose sizes are read, but no tensor yet.

    `details` is what is worth keeping for an export, by stage.
    """

    dialect: Dialect
    config: BarkConfig
    files: Sequence[Path]  # that hold tensors: to be hashed
    read: Callable[[str], State]  # all tensors of one stage
    vocab: bytes  # of `vocab.txt`
    voices: Mapping[str, Callable[[], Arrays]]  # by name
    details: Mapping[str, Mapping[str, Any]]
    errors: Sequence[str] = ()  # what is wrong so far
