"""Which parameters a run changes, and how: all, all but some, or low-rank additions (LoRA)."""

import dataclasses
import re

import jax
import jax.numpy as jnp

from bark_jax.params import Params, flatten, unflatten
from bark_jax.training.tasks.task import Task

EMBEDDINGS = r"(wtes?(\.\d+)?|wpe)\.weight"
DOWN, UP = "lora_down", "lora_up"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoraSettings:
    """W + alpha / rank · up · down in place of W, where only `up` and `down` are trained."""

    rank: int = 0  # 0 switches LoRA off
    alpha: float = 16.0
    targets: tuple[str, ...] = (r".*\.(c_attn|c_proj|c_fc)\.weight",)  # of dotted names

    def __post_init__(self) -> None:
        if self.rank < 0:
            raise ValueError(f"lora.rank={self.rank} is negative")


@dataclasses.dataclass(frozen=True)
class Trainable:
    """Splits parameters into those that a run trains and those that it freezes, and joins them."""

    frozen: tuple[str, ...] = ()  # patterns of dotted names
    lora: LoraSettings = LoraSettings()

    def split(self, task: Task, params: Params, key: jax.Array) -> tuple[Params, Params]:
        """(trainable, frozen), nested; with LoRA the trainable ones are new.

        Raises:
          ValueError: a pattern matches no parameter, or nothing is left to train.
        """
        flat = flatten(params)
        self._check_patterns(flat)
        chosen = [name for name in flat if task.is_trained(name) and not _fits(self.frozen, name)]
        if self.lora.rank:
            chosen = [name for name in chosen if _fits(self.lora.targets, name)]
        if not chosen:
            raise ValueError(f"freeze={list(self.frozen)} and lora leave nothing to train")
        if self.lora.rank:
            return unflatten(self._low_rank({name: flat[name] for name in chosen}, key)), params
        rest = {name: leaf for name, leaf in flat.items() if name not in chosen}
        return unflatten({name: flat[name] for name in chosen}), unflatten(rest)

    def join(self, trainable: Params, frozen: Params) -> Params:
        """All parameters of the model, with the low-rank products added."""
        flat, new = flatten(frozen), flatten(trainable)
        if not self.lora.rank:
            return unflatten(flat | new)
        scale = self.lora.alpha / self.lora.rank
        for name in {name.rpartition(".")[0] for name in new}:
            up_OR, down_RI = new[f"{name}.{UP}"], new[f"{name}.{DOWN}"]
            product_OI = jnp.dot(up_OR, down_RI, precision=jax.lax.Precision.HIGHEST)
            flat[name] = flat[name] + scale * product_OI
        return unflatten(flat)

    def _low_rank(self, weights: dict[str, jax.Array], key: jax.Array) -> dict[str, jax.Array]:
        """Factors of every weight: `up` is zero, so that training starts at the given model."""
        factors = {}
        for i, (name, weight_OI) in enumerate(sorted(weights.items())):
            if weight_OI.ndim != 2:
                raise ValueError(f"lora.targets: {name} is not a matrix")
            n_out, n_in = weight_OI.shape
            down_RI = jax.random.normal(jax.random.fold_in(key, i), (self.lora.rank, n_in))
            factors[f"{name}.{DOWN}"] = down_RI * n_in**-0.5
            factors[f"{name}.{UP}"] = jnp.zeros((n_out, self.lora.rank))
        return factors

    def _check_patterns(self, names: dict[str, jax.Array]) -> None:
        used = {"freeze": self.frozen, "lora.targets": self.lora.targets if self.lora.rank else ()}
        for setting, patterns in used.items():
            for pattern in patterns:
                if not any(re.fullmatch(pattern, name) for name in names):
                    raise ValueError(
                        f"{setting}: {pattern!r} fits no parameter; there are {sorted(names)}"
                    )


def _fits(patterns: tuple[str, ...], name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns)
