"""What every kind of source provides to the converter."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bark_jax.config import BarkConfig
from bark_jax.conversion.rules import Dialect
from bark_jax.conversion.tensors import State

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A folder whose files are found and whose model sizes are read, but no tensor yet.

    `details` is what an export needs besides the model, by stage.
    """

    dialect: Dialect
    config: BarkConfig
    files: Sequence[Path]  # that hold tensors: to be hashed
    read: Callable[[str], State]  # all tensors of one stage
    vocab: bytes  # of `vocab.txt`
    is_lower_case: bool  # whether text is lower-cased first
    voices: Mapping[str, Callable[[], Arrays]]  # by name
    details: Mapping[str, Mapping[str, Any]]
    errors: Sequence[str] = ()  # problems found so far
