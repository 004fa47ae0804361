"""Reads checkpoint files as numpy arrays, memory-mapped and never executed; and writes them.

PyTorch is imported only to read or write its pickles, so that safetensors do not need it.
"""

import contextlib
import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from bark_jax.conversion.directory import require_space
from bark_jax.conversion.tensors import State


def load_pickled(path: Path) -> Any:
    """What a `.pt`, `.bin` or `.th` file holds; its tensors stay on disk until they are read.

    Only tensors, containers, plain values and numpy scalars are accepted; nothing is executed.

    Raises:
      ValueError: the file is damaged, or holds any other object.
    """
    import torch

    check_is_no_stand_in(path)
    try:
        is_zip = zipfile.is_zipfile(path)
        if is_zip:
            _check_unpacks_to_no_more(path)
        with torch.serialization.safe_globals(_numpy_scalars()), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except OSError:
        raise
    except pickle.UnpicklingError as error:
        # without torch's first line, which recommends loading the file anyway
        lines = [line.strip() for line in str(error).split("\n") if "GLOBAL" in line]
        raise ValueError(
            f"{path} is refused: it holds something that is neither a tensor nor a plain value, "
            f"and could run code{': ' if lines else ''}{' '.join(lines)}"
        ) from error
    except Exception as error:
        raise ValueError(f"{path} is damaged or no checkpoint: {str(error)[:80]}") from error


def _check_unpacks_to_no_more(path: Path) -> None:
    """PyTorch never compresses; a small file that unfolds to gigabytes must."""
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED:
                raise ValueError(
                    f"{entry.filename} is compressed, to unfold to {entry.file_size / 1e6:,.0f} MB"
                )


def check_is_no_stand_in(path: Path) -> None:
    """Says what lies in place of weights where a download went wrong.

    Raises:
      ValueError: the file is a git-lfs pointer, a web page, or empty; says what to do.
    """
    with path.open("rb") as file:
        head = file.read(256).lstrip()
    if head.startswith(b"version https://git-lfs"):
        raise ValueError(f"{path} is a git-lfs pointer, not the file: run `git lfs pull` there")
    if head[:1] == b"<":
        raise ValueError(f"{path} is a web page, not a checkpoint: download the file again")
    if not head:
        raise ValueError(f"{path} is empty: download the file again")


def arrays(tensors: Any, where: str) -> dict[str, np.ndarray]:
    """A state dict of torch tensors as numpy arrays that share their memory.

    Raises:
      ValueError: it is not one.
    """
    import torch

    if not isinstance(tensors, Mapping) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) and value.layout == torch.strided
        for name, value in tensors.items()
    ):
        raise ValueError(f"{where} is not a table of names and dense tensors")
    for name, value in tensors.items():
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise ValueError(f"{where}, {name} has shape {tuple(value.shape)}, but less data")
    return {name: _as_array(value, f"{where}, {name}") for name, value in tensors.items()}


def save_pickled(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a zip-format file; arrays that are the same object are written once.

    Raises:
      OSError: the disk is too full.
    """
    import torch

    memo: dict[int, torch.Tensor] = {}

    def as_tensor(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: as_tensor(item) for key, item in value.items()}
        if not isinstance(value, np.ndarray):
            return value
        if id(value) not in memo:
            own = np.array(value)  # JAX's are read-only, which torch does not support
            if own.dtype == ml_dtypes.bfloat16:
                memo[id(value)] = torch.from_numpy(own.view(np.int16)).view(torch.bfloat16)
            else:
                memo[id(value)] = torch.from_numpy(own)
        return memo[id(value)]

    tensors = as_tensor(dict(content))
    require_space(path.parent, sum(tensor.nbytes for tensor in memo.values()))
    torch.save(tensors, path)


def save_safetensors(path: Path, state: State) -> None:
    """Writes a file as transformers does.

    Raises:
      OSError: the disk is too full.
    """
    from safetensors.numpy import save_file

    state = {name: np.ascontiguousarray(value) for name, value in state.items()}
    require_space(path.parent, sum(value.nbytes for value in state.values()))
    save_file(state, path, metadata={"format": "pt"})


def safetensors_names(path: Path) -> list[str]:
    """Names of the tensors in a file.

    Raises:
      ValueError: the file is damaged.
    """
    with _open_safetensors(path) as file:
        return list(file.keys())


def load_safetensors(path: Path, names: Sequence[str]) -> State:
    """Reads some tensors into memory."""
    with _open_safetensors(path) as file:
        return {name: file.get_tensor(name) for name in names}


@contextlib.contextmanager
def _open_safetensors(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    check_is_no_stand_in(path)
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file: {error}") from error


def _numpy_scalars() -> list[Any]:
    """What Suno's files need besides tensors: `best_val_loss`, pickled by numpy 1 or numpy 2."""
    scalar = np._core.multiarray.scalar  # pyright: ignore[reportAttributeAccessIssue]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    dtypes = [np.dtype, np.dtypes.Float64DType, np.dtypes.Float32DType]
    return [*((scalar, name) for name in names), *dtypes]


def _as_array(tensor: Any, where: str) -> np.ndarray:
    import torch

    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    try:
        return tensor.numpy()
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"{where} has dtype {tensor.dtype}: {error}") from error
