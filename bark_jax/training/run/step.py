"""The state of a run and the jitted step that changes it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from bark_jax.params import Params, flatten, unflatten
from bark_jax.training.run.mesh import place_state, replicated, state_sharding
from bark_jax.training.run.optimizer import (
    OptimizerSettings,
    descent,
    learning_rate,
    make_optimizer,
)
from bark_jax.training.run.trainable import Trainable
from bark_jax.training.tasks.task import Batch, LossSums, Task

Metrics = dict[str, jax.Array]


@flax.struct.dataclass
class TrainState:
    """All arrays of a run. Parameters are float32, even if products are computed in bfloat16."""

    step: jax.Array  # int32 [], steps done
    key: jax.Array  # uint32, key data; each step folds its number in
    trainable: Params  # what the optimiser changes
    frozen: Params  # the model's other arrays; tasks may replace some (codebooks)
    opt_state: optax.OptState
    ema: Params  # moving average of `trainable`; {} where there is none


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What defines a step; static under `jax.jit`."""

    task: Task
    optimizer: OptimizerSettings
    trainable: Trainable
    ema: float  # decay of the moving average; 0 switches it off

    def __post_init__(self) -> None:
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema={self.ema} is not in [0, 1)")

    def init(self, params: Params, key: jax.Array) -> TrainState:
        """The state before the first step."""
        to_float32 = lambda leaf: jnp.asarray(leaf, jnp.float32)  # noqa: E731
        params = jax.tree.map(to_float32, params) | self.task.helpers(jax.random.fold_in(key, 2))
        trainable, frozen = self.trainable.split(self.task, params, jax.random.fold_in(key, 0))
        return TrainState(
            step=jnp.int32(0),
            key=jax.random.key_data(key),
            trainable=trainable,
            frozen=frozen,
            opt_state=make_optimizer(self.optimizer).init(trainable),
            ema=jax.tree.map(jnp.copy, trainable) if self.ema else {},
        )

    def params(self, state: TrainState) -> Params:
        """The model so far: the moving average where there is one."""
        params = self.trainable.join(state.ema or state.trainable, state.frozen)
        helpers = jax.eval_shape(self.task.helpers, jax.random.key(0))
        return {name: part for name, part in params.items() if name not in helpers}


class Stepper:
    """The compiled steps of one run on one mesh."""

    def __init__(self, recipe: Recipe, mesh: Mesh, state: TrainState) -> None:
        self.recipe, self.mesh = recipe, mesh
        self.sharding = state_sharding(mesh, state)
        self.run: Callable[..., tuple[TrainState, Metrics]] = jax.jit(
            self._run, donate_argnums=0, out_shardings=(self.sharding, replicated(mesh))
        )
        self.evaluate: Callable[..., dict[str, jax.Array]] = jax.jit(
            self._evaluate, out_shardings=replicated(mesh)
        )
        self._is_finite = jax.jit(_all_finite, out_shardings=replicated(mesh))

    def is_finite(self, state: TrainState) -> bool:
        """Whether no array of the state holds a NaN or an infinity."""
        return bool(self._is_finite(state))

    def place(self, state: TrainState) -> TrainState:
        """The state laid out over the mesh."""
        return place_state(self.mesh, state)

    def _run(
        self, state: TrainState, batches: Batch, progress_K: jax.Array
    ) -> tuple[TrainState, Metrics]:
        """K steps. `batches` are arrays (K, micro-batches, rows, …); metrics (K,).

        A single step runs outside any loop: inside one, XLA's CPU backend does without its fast
        kernels, and the codec's step takes seven times as long (1.05 against 0.15 s).
        """

        def one(state: TrainState, each: tuple[Batch, jax.Array]):
            return train_step(self.recipe, state, *each)

        if len(progress_K) == 1:
            state, metrics = one(state, jax.tree.map(lambda array: array[0], (batches, progress_K)))
            return state, jax.tree.map(lambda value: value[None], metrics)
        return jax.lax.scan(one, state, (batches, progress_K))

    def _evaluate(self, state: TrainState, batches: Batch) -> dict[str, jax.Array]:
        """`LossSums.sums` of arrays (1, 1, rows, …)."""
        batch = {name: array[0, 0] for name, array in batches.items()}
        task = self.recipe.task.for_evaluation()
        return task.loss(self.recipe.params(state), batch, None, jnp.float32(1)).sums


def train_step(
    recipe: Recipe, state: TrainState, micro: Batch, progress: jax.Array
) -> tuple[TrainState, Metrics]:
    """One step of the optimiser.

    Args:
      micro: arrays (micro-batches, rows, …), whose gradients add up to that of one large batch.
      progress: float32 [], share of the run done.
    """
    gradients, sums, frozen = accumulate(recipe, state, micro, progress)
    gradients = jax.tree.map(lambda g: g / _weight(sums["loss"]), gradients)
    rate = learning_rate(recipe.optimizer, state.step, progress)
    updates, opt_state = descent(recipe.optimizer, gradients, state.opt_state, state.trainable)
    trainable = jax.tree.map(lambda p, u: p - rate * u, state.trainable, updates)
    metrics = {name: total[0] / _weight(total) for name, total in sums.items()}
    metrics |= {
        "learning_rate": rate,
        "grad_norm": optax.tree.norm(gradients),
        "targets": sums["loss"][1],
    }
    state = TrainState(
        step=state.step + 1,
        key=state.key,
        trainable=trainable,
        frozen=frozen,
        opt_state=opt_state,
        ema=_averaged(recipe.ema, state, trainable),
    )
    return state, metrics


def accumulate(
    recipe: Recipe, state: TrainState, micro: Batch, progress: jax.Array
) -> tuple[Params, dict[str, jax.Array], Params]:
    """Sums over the micro-batches: gradients of the summed loss, `LossSums.sums`; the new `frozen`.

    What a task replaces in `frozen` is replaced after each micro-batch.
    """
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step + 1)

    def loss(trainable: Params, frozen: Params, batch: Batch) -> tuple[jax.Array, LossSums]:
        params = recipe.trainable.join(trainable, frozen)
        found = recipe.task.loss(params, batch, key, progress)
        return found.sums["loss"][0], found

    def one(frozen: Params, batch: Batch):
        gradients, found = jax.grad(loss, has_aux=True)(state.trainable, frozen, batch)
        return unflatten(flatten(frozen) | flatten(found.updates)), (gradients, found.sums)

    n_micro = len(next(iter(micro.values())))
    if n_micro == 1:
        frozen, (gradients, sums) = one(state.frozen, {n: array[0] for n, array in micro.items()})
        return gradients, sums, frozen

    def add(carry: tuple[Params, Any], batch: Batch):
        frozen, found = one(carry[0], batch)
        return (frozen, jax.tree.map(jnp.add, carry[1], found)), None

    shapes = jax.eval_shape(one, state.frozen, {n: array[0] for n, array in micro.items()})[1]
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    (frozen, (gradients, sums)), _ = jax.lax.scan(add, (state.frozen, zeros), micro)
    return gradients, sums, frozen


def _all_finite(state: TrainState) -> jax.Array:
    leaves = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all()


def _weight(total_and_weight: jax.Array) -> jax.Array:
    """The weight to divide by; 1 where nothing was counted."""
    return jnp.where(total_and_weight[1] > 0, total_and_weight[1], 1)


def _averaged(decay: float, state: TrainState, trainable: Params) -> Params:
    """The moving average after one more step; young averages forget faster."""
    if not decay:
        return {}
    decay_now = jnp.minimum(decay, (1 + state.step) / (10 + state.step))
    return jax.tree.map(lambda a, c: a + (1 - decay_now) * (c - a), state.ema, trainable)
