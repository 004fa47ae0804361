"""A model on disk: one directory, each stage an Orbax checkpoint that can be loaded by itself.

config.json                        format version, sizes, token layout, source and its hashes
semantic/ coarse/ fine/ codec/     Orbax, and SHA256SUMS, the hashes of its files
tokenizer/vocab.txt                WordPiece vocabulary
voices/NAME.npz                    history prompts; NAME may hold one slash
sampling.json                      the model's own sampling values, if it has some
"""

import functools
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bark_jax.config import STAGES, BarkConfig, from_dict, to_dict
from bark_jax.numbers import shown
from bark_jax.params import Params, unflatten
from bark_jax.runtime.files import read_json, replacing, write_json
from bark_jax.runtime.hashes import HASHES_FILE, find_damage, has_hashes, write_hashes
from bark_jax.runtime.host_memory import large_buffers_returned
from bark_jax.runtime.notices import first_line, logging_left_alone
from bark_jax.sampling_config import SamplingConfig

if TYPE_CHECKING:  # reading a config needs no JAX
    import jax

FORMAT = "bark_jax/1"
CONFIG_FILE = "config.json"
SAMPLING_FILE = "sampling.json"
COMMIT_FILE = "commit_success.txt"  # of Orbax, which looks only whether it is there
PIECE = 32 << 20  # most bytes of an array that are stored together


@logging_left_alone()
def save_stage(directory: str | Path, stage: str, params: Params) -> None:
    """Writes and hashes the parameters of one stage.

    `directory` exists; `directory/stage` does not.
    In a run of several processes all of them call this, with NumPy arrays or global JAX arrays.
    """
    import jax
    from orbax.checkpoint import v1 as ocp

    # Nothing changes the arrays while they are written, so they need no copy, and compression
    # saves only 8 % of weights. Without both, a save needs no memory of its own (with them 0.7 …
    # 2 × the arrays) and takes a third of the time.
    context = ocp.Context()
    context.memory_options.deepcopy_host_arrays = False
    context.array_options.saving.use_compression = False
    # An array in one piece is twice in memory while it is read.
    context.array_options.saving.storage_options.chunk_byte_size = PIECE
    path = Path(directory).resolve() / stage
    with context:
        ocp.save(str(path), params)
    if jax.process_index() == 0:
        # Orbax writes the folder's whole path into it, which is nobody's business elsewhere
        (path / COMMIT_FILE).write_text("")
        write_hashes(path)


def save_config(
    directory: str | Path, config: BarkConfig, source: Mapping[str, Any] | None = None
) -> None:
    """Writes `config.json`, the file that makes a directory a model: write it last.

    Args:
      source: where the parameters come from (names and hashes of files), any plain data.
    """
    content = {"format": FORMAT, **to_dict(config), "source": dict(source or {})}
    with replacing(Path(directory) / CONFIG_FILE) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n")


def is_model(directory: str | Path) -> bool:
    """Whether a directory has a `config.json` of this package, of whatever version."""
    try:
        return str(read_json(Path(directory) / CONFIG_FILE)["format"]).startswith("bark_jax/")
    except (OSError, ValueError, KeyError):
        return False


def load_config(directory: str | Path) -> BarkConfig:
    """Reads `config.json`.

    Raises:
      FileNotFoundError: `directory` is not a model.
      ValueError: the file is of another format, or is not a valid config.
    """
    content = _read_config(directory)
    try:
        sizes = {name: value for name, value in content.items() if name != "source"}
        return from_dict(BarkConfig, sizes, complete=True)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{Path(directory) / CONFIG_FILE}: {error}") from error


def load_source(directory: str | Path) -> dict[str, Any]:
    """What `config.json` says about the origin of the parameters."""
    source = _read_config(directory).get("source", {})
    if not isinstance(source, dict):
        path = Path(directory) / CONFIG_FILE
        raise ValueError(f"{path}: source={shown(source)}, want an object of names and values")
    return source


def save_sampling(directory: str | Path, sampling: Mapping[str, Any]) -> None:
    """Writes the values that a model draws with where nobody gives others.

    Args:
      sampling: some values, by stage and name; what it leaves out stays Bark's.
    Raises:
      ValueError: as in `load_sampling`.
    """
    _own_sampling(sampling)
    write_json(Path(directory) / SAMPLING_FILE, sampling)


def load_sampling(directory: str | Path) -> SamplingConfig:
    """The values in `sampling.json`; none without that file.

    Raises:
      ValueError: the file is damaged, a name is unknown, or a value not allowed.
    """
    path = Path(directory) / SAMPLING_FILE
    if not path.is_file():
        return SamplingConfig()
    content = read_json(path)
    try:
        return _own_sampling(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def copy_sampling(source: str | Path, made: str | Path) -> None:
    """The file of a model's own values, checked, beside another model's; nothing without one.

    Raises:
      ValueError: as in `load_sampling`.
    """
    if (own := Path(source) / SAMPLING_FILE).is_file():
        load_sampling(source)
        shutil.copy(own, made)


@logging_left_alone()
def identify(directory: str | Path, stage: str) -> str:
    """A short hash that tells the parameters of a stage from others, without reading them.

    Converted models are known by the hashes of the files that they were made from, wherever they
    were converted; others by the hashes of their own files, or where there are none by the names
    and sizes: Orbax gives every saving names of its own.
    """
    source = load_source(directory)
    root = Path(directory, stage)
    if "sha256" in source and not source.keys() & {"trained", "weights"}:
        content = json.dumps([stage, source["sha256"]], sort_keys=True)
    elif has_hashes(root):
        content = (root / HASHES_FILE).read_text(encoding="utf-8")
    else:
        files = sorted(path for path in root.rglob("*") if path.is_file())
        content = json.dumps([(path.name, path.stat().st_size) for path in files])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def load_stage(
    directory: str | Path,
    stage: str,
    dtype: str | None = None,
    sharding_of: Callable[[str], "jax.sharding.Sharding"] | None = None,
    check_hashes: bool = True,
    may_be_int8: bool = False,
    weights: str | None = None,
) -> Params:
    """Reads the parameters of one stage as jax arrays.

    Args:
      stage: one of "semantic", "coarse", "fine", "codec".
      dtype: cast floating-point arrays to it while reading; None keeps the stored dtype.
      sharding_of: sharding of the parameter with a dotted name; None: all on the first device.
      check_hashes: compare the files with their hashes while they are read. A stage that was
        written without hashes is read all the same.
      may_be_int8: the caller knows what to do with weights in int8.
      weights: the format of a transformer's matrices, see `quantization.quantized`; each is
        changed as soon as it is read, so that few are in memory as they were. None: as stored.
    Raises:
      FileNotFoundError: the stage is not there.
      ValueError: an unknown stage, the checkpoint is damaged or incomplete (names the files), or
        its weights are int8.
    """
    import jax.numpy as jnp

    from bark_jax.quantization import quantized
    from bark_jax.runtime.stored_arrays import open_arrays, read_arrays

    if stage not in STAGES:
        raise ValueError(f"stage={stage!r} is not one of {STAGES}")
    path = Path(directory).resolve() / stage
    if not path.is_dir():
        raise FileNotFoundError(f"{directory} has no {stage!r} stage")

    def dtype_of(name: str, stored: Any) -> Any:
        is_float = jnp.issubdtype(stored, jnp.floating) and not name.endswith(".scale")
        return stored if dtype is None or not is_float else jnp.dtype(dtype)

    change = None if weights is None else functools.partial(quantized, to=weights)
    where, problem = f"the {stage!r} stage of {directory}", None
    with ThreadPoolExecutor(1) as beside:
        damage = beside.submit(find_damage, path) if check_hashes else None
        try:
            with large_buffers_returned():
                arrays = open_arrays(path)
                is_int8 = any(array.dtype.numpy_dtype == np.int8 for array in arrays.values())
                if is_int8 and not may_be_int8:
                    raise ValueError("its weights are int8, which is for generating alone")
                params = unflatten(read_arrays(arrays, dtype_of, sharding_of, change))
        except Exception as error:
            problem = first_line(error)[:200]
        if damage and (files := damage.result()):
            raise ValueError(
                f"{where} is damaged: {', '.join(files)} {'is' if len(files) == 1 else 'are'} "
                "not as written. Copy, download or convert it again"
            )
    if problem is not None:
        raise ValueError(f"cannot read {where}: {problem}")
    return params


def _read_config(directory: str | Path) -> dict[str, Any]:
    path = Path(directory) / CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{directory} is not a bark_jax model: it has no {CONFIG_FILE}")
    content = read_json(path)
    if (found := content.pop("format", None)) != FORMAT:
        raise ValueError(f"{path} has format {found!r}; this version reads {FORMAT!r}")
    return content


def _own_sampling(values: Mapping[str, Any]) -> SamplingConfig:
    """A model's own values, checked before anything is made of them."""
    for stage, own in values.items():
        for name, value in own.items() if isinstance(own, Mapping) else ():
            if name == "processors":  # may be of any module, and a model is no reason to import it
                raise ValueError(f"sampling.{stage}.processors: a model has none of its own")
            if isinstance(value, list):
                raise ValueError(f"sampling.{stage}.{name}={shown(value)}, want one value")
    config = SamplingConfig.of(values)
    config.plain()
    return config
