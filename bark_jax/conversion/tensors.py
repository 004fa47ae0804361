"""One stage's tensors between a source's names and our parameter tree, checked one by one."""

from collections.abc import Iterable, Mapping

import ml_dtypes
import numpy as np

from bark_jax.config import BarkConfig
from bark_jax.conversion.rules import HEAD, Dialect, normalise, rules_of, translate
from bark_jax.models.binding import abstract_params
from bark_jax.models.encodec import EnCodec
from bark_jax.models.fine_gpt import FineGPT
from bark_jax.models.gpt import GPT
from bark_jax.params import Params, flatten, unflatten
from bark_jax.runtime.execution import Execution

State = Mapping[str, np.ndarray]  # a checkpoint's own names

# kept as they are, not widened: an export gives back what was converted
TENSOR_DTYPES = tuple(np.dtype(t) for t in (np.float32, np.float16, ml_dtypes.bfloat16))


def read_params(
    state: State, stage: str, config: BarkConfig, dialect: Dialect
) -> tuple[Params, list[str]]:
    """Puts each tensor of a source where it belongs, without copying it.

    Returns:
      The parameter tree, and all problems of the source, in its own names: if there are any, the
      tree is empty.
    """
    rules = rules_of(stage, config)
    shapes = stage_shapes(stage, config)
    found: dict[str, np.ndarray] = {}
    heads: dict[int, np.ndarray] = {}
    errors: list[str] = []
    for name, value in state.items():
        if (plain := normalise(name)) is None:
            continue
        if stage == "fine" and (match := HEAD.fullmatch(plain)):
            heads[int(match[1])] = value
            continue
        ours = translate(plain, rules, dialect, "ours")
        if ours not in shapes:
            errors.append(f"{name} is unexpected")
        elif ours in found:
            errors.append(f"{name} is there twice")
        else:
            found[ours] = value
            errors += _misfits(name, value, shapes[ours])
    missing = [translate(name, rules, "ours", dialect) for name in shapes.keys() - found.keys()]
    errors += sorted(f"{name} is missing" for name in missing)
    if stage == "fine":
        errors += _untied(heads, found, config, is_optional=dialect == "hf")
    return ({} if errors else unflatten(_join_rows(found))), errors


def write_tensors(
    params: Params, stage: str, config: BarkConfig, dialect: Dialect
) -> dict[str, np.ndarray]:
    """The inverse of `read_params`, heads of the fine model included (they share memory).

    Raises:
      ValueError: the format has no name for a parameter.
    """
    rules = rules_of(stage, config)
    rows = _split_rows({name: np.asarray(leaf) for name, leaf in flatten(params).items()})
    state: dict[str, np.ndarray] = {}
    for name, value in rows.items():
        theirs = translate(name, rules, "ours", dialect)
        if theirs is None:
            raise ValueError(f"the {stage} model's {name} has no name in the {dialect} format")
        state[theirs] = value
    if stage == "fine":
        state |= {f"lm_heads.{i}.weight": rows[f"wtes.{i + 1}.weight"] for i in _head_range(config)}
    return state


def stage_shapes(stage: str, config: BarkConfig) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor that a source must hold for a stage, under our names."""
    if stage == "codec":
        tree = abstract_params(EnCodec, config.codec)
    else:
        make = FineGPT if stage == "fine" else GPT
        tree = abstract_params(make, getattr(config, stage), Execution.on("cpu"))
    shapes: dict[str, tuple[int, ...]] = {}
    for name, leaf in flatten(tree).items():
        if name.startswith("quantizer."):
            # what is a scalar per codebook here is an array of one value in the checkpoints
            row = leaf.shape[1:] or (1,)
            shapes |= {f"{name}[{q}]": row for q in range(leaf.shape[0])}
        else:
            shapes[name] = leaf.shape
    return shapes


def _misfits(name: str, value: np.ndarray, shape: tuple[int, ...]) -> Iterable[str]:
    if value.dtype not in TENSOR_DTYPES:
        yield f"{name} has dtype {value.dtype}, want one of {', '.join(map(str, TENSOR_DTYPES))}"
    elif value.shape != shape:
        yield f"{name} has shape {value.shape}, want {shape}"
    elif not (np.isfinite(value.min()) and np.isfinite(value.max())):  # allocates nothing
        yield f"{name} holds NaN or infinite values"


def _head_range(config: BarkConfig) -> range:
    """Indices of the heads; head i is table i + 1, and scores codebook i + n_codes_given."""
    if config.fine.n_codes_given != 1:
        raise ValueError(
            f"the fine model has n_codes_given={config.fine.n_codes_given}; only with 1 are the "
            "heads the tables of the codebooks they score"
        )
    return range(config.fine.n_codes_total - 1)


def _untied(
    heads: Mapping[int, np.ndarray],
    found: Mapping[str, np.ndarray],
    config: BarkConfig,
    *,
    is_optional: bool,
) -> Iterable[str]:
    """Problems of the fine model's heads; `is_optional`: safetensors store no tensor twice."""
    indices = _head_range(config)
    for i in sorted(heads.keys() - set(indices)):
        yield f"lm_heads.{i}.weight is unexpected"
    for i in indices:
        if i in heads:
            table = found.get(f"wtes.{i + 1}.weight")
            if table is not None and not np.array_equal(heads[i], table):
                yield f"lm_heads.{i}.weight differs from the embedding table {i + 1}"
        elif not is_optional:
            yield f"lm_heads.{i}.weight is missing"


def _join_rows(found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`name[0]`, `name[1]` … become one array `name`."""
    joined = {name: value for name, value in found.items() if "[" not in name}
    for stem in {name.partition("[")[0] for name in found.keys() - joined.keys()}:
        rows = [found[f"{stem}[{q}]"] for q in range(sum(n.startswith(f"{stem}[") for n in found))]
        joined[stem] = np.stack(rows) if rows[0].size > 1 else np.concatenate(rows)
    return joined


def _split_rows(params: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inverse of `_join_rows`."""
    split: dict[str, np.ndarray] = {}
    for name, value in params.items():
        if name.startswith("quantizer."):
            split |= {f"{name}[{q}]": np.atleast_1d(row) for q, row in enumerate(value)}
        else:
            split[name] = value
    return split
