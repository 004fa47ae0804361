"""What a step will cost, estimated before it is compiled: parameters, operations, memory."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr

from bark_jax.params import flatten
from bark_jax.training.run.step import Recipe, TrainState, train_step
from bark_jax.training.tasks.task import Example


@dataclasses.dataclass(frozen=True)
class Estimate:
    """The cost of one step of a run, over all devices."""

    n_parameters: int  # of the stage's model
    n_trained: int  # of those, or of the low-rank factors
    flops: float  # of matrix products and convolutions, forward and backward
    state_bytes: int  # parameters, optimiser, moving average
    gradient_bytes: int
    activation_bytes: int  # kept for the backward pass of one micro-batch

    @property
    def total_bytes(self) -> int:
        return self.state_bytes + self.gradient_bytes + self.activation_bytes

    def lines(self) -> list[str]:
        """The estimate in words."""
        gib = 2**30
        return [
            f"parameters   {self.n_parameters:,}, trained {self.n_trained:,}",
            f"operations   {self.flops / 1e9:,.1f} GFLOP per step",
            f"memory       {self.total_bytes / gib:.2f} GiB over all devices: state "
            f"{self.state_bytes / gib:.2f}, gradients {self.gradient_bytes / gib:.2f}, "
            f"activations {self.activation_bytes / gib:.2f}",
        ]


def estimate(
    recipe: Recipe, state: TrainState, example: Example, micro: int, rows: int
) -> Estimate:
    """The cost of a step of `micro` micro-batches of `rows` rows each."""
    batch = {
        name: jax.ShapeDtypeStruct((micro, rows, *np.shape(array)), np.asarray(array).dtype)
        for name, array in example.items()
    }
    traced = jax.make_jaxpr(lambda s, b: train_step(recipe, s, b, jnp.float32(0)))(state, batch)
    n_kept = 0 if recipe.trainable.lora.rank else _count(state.trainable)
    gradients = _bytes(state.trainable)
    return Estimate(
        n_parameters=n_kept + _count(state.frozen),
        n_trained=_count(state.trainable),
        flops=float(count_flops(traced.jaxpr)),
        state_bytes=_bytes(state),
        gradient_bytes=gradients * (2 if micro > 1 else 1),
        activation_bytes=_activation_bytes(recipe, state, batch),
    )


def count_flops(jaxpr: Jaxpr) -> int:
    """Operations of the matrix products and convolutions in a program, loops included.

    The body of a while loop counts once.
    """
    total = 0
    for eqn in jaxpr.eqns:
        name = eqn.primitive.name
        if name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            depth = math.prod(_shape(eqn.invars[0])[axis] for axis in contracted)
            total += 2 * depth * math.prod(_shape(eqn.outvars[0]))
        elif name == "conv_general_dilated":
            kernel = _shape(eqn.invars[1])
            n_out = kernel[eqn.params["dimension_numbers"].rhs_spec[0]]
            total += 2 * math.prod(_shape(eqn.outvars[0])) * math.prod(kernel) // n_out
        else:
            times = eqn.params["length"] if name == "scan" else 1
            total += times * sum(map(count_flops, _inner(eqn.params)))
    return total


def _shape(variable: Any) -> tuple[int, ...]:
    return variable.aval.shape


def _inner(params: Mapping[str, Any]) -> list[Jaxpr]:
    """The programs inside an operation; of a conditional's branches, the last one."""
    found = []
    for value in params.values():
        each = value[-1:] if isinstance(value, tuple) else (value,)
        found += [v.jaxpr if isinstance(v, ClosedJaxpr) else v for v in each]
    return [program for program in found if isinstance(program, Jaxpr)]


def _activation_bytes(
    recipe: Recipe, state: TrainState, batch: Mapping[str, jax.ShapeDtypeStruct]
) -> int:
    """What the forward pass of one micro-batch keeps for the backward pass, besides parameters."""
    one = {name: jax.ShapeDtypeStruct(a.shape[1:], a.dtype) for name, a in batch.items()}

    def backward(trainable: Any, frozen: Any, batch: Any) -> Any:
        def loss(trainable: Any) -> jax.Array:
            params = recipe.trainable.join(trainable, frozen)
            found = recipe.task.loss(params, batch, jax.random.key(0), jnp.float32(0))
            return found.sums["loss"][0]

        return jax.vjp(loss, trainable)[1]

    kept_arrays = jax.eval_shape(backward, state.trainable, state.frozen, one)
    parameters = {
        leaf.shape for tree in (state.trainable, state.frozen) for leaf in flatten(tree).values()
    }
    return sum(
        math.prod(leaf.shape) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(kept_arrays)
        if leaf.shape not in parameters
    )


def _count(tree: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def _bytes(tree: Any) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
