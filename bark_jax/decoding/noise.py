"""Where the randomness of a draw comes from: a seed per row, or noise from the caller.

Both give Gumbel noise g for a draw as `argmax(log p + g)`. A row's noise depends only on its seed,
the stage and the step, so a row draws the same alone and in any batch.
"""

from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.config import STAGES


@flax.struct.dataclass
class KeyNoise:
    """Gumbel noise from one seed per row.

    Keys are made inside the programs that draw: made by themselves they are a handful of tiny
    programs, each of which a process has to load before its first token.
    """

    seed_B2: Any  # uint32, the upper and the lower half of each row's seed
    stage: str = flax.struct.field(pytree_node=False)

    @classmethod
    def of(cls, seeds: Sequence[int], stage: str) -> "KeyNoise":
        """Noise that depends on a row's seed and on the stage alone."""
        halves = [divmod(seed % 2**64, 2**32) for seed in seeds]
        return cls(np.array(halves, np.uint32), stage)

    def take(self, rows: Sequence[int]) -> "KeyNoise":
        """That of these rows only, for the same programs."""
        return KeyNoise(self.seed_B2[np.asarray(rows)], self.stage)

    def gumbel(self, step_B: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """Noise (B, *shape) of one step per row."""

        def row(seed_2: jax.Array, step: jax.Array) -> jax.Array:
            root = jax.random.wrap_key_data(seed_2, impl="threefry2x32")
            key = jax.random.fold_in(root, STAGES.index(self.stage))
            return jax.random.gumbel(jax.random.fold_in(key, step), shape, jnp.float32)

        return jax.vmap(row)(jnp.asarray(self.seed_B2), step_B)


@flax.struct.dataclass
class InjectedNoise:
    """Gumbel noise from the caller, for comparing runs draw by draw.

    A draw of torch's multinomial on CPU is `argmax(p / E)` with E from Exp(1): pass `-log(E)`.
    """

    gumbel_BN: Any  # (B, steps, *shape)

    def take(self, rows: Sequence[int]) -> "InjectedNoise":
        """That of these rows only, for the same programs."""
        return InjectedNoise(self.gumbel_BN[np.asarray(rows)])

    def gumbel(self, step_B: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """Noise (B, *shape) of one step per row."""
        rows_B = jnp.arange(self.gumbel_BN.shape[0])
        noise = jnp.asarray(self.gumbel_BN)[rows_B, step_B]
        assert noise.shape[1:] == shape, f"injected noise is {noise.shape[1:]} a step, want {shape}"
        return noise


Noise = KeyNoise | InjectedNoise


def noise_of(
    stage: str,
    seeds: Sequence[int],
    injected: Sequence[np.ndarray] | None,
    step_shape: tuple[int, ...],
    n_steps: Sequence[int],
) -> Noise:
    """The caller's noise if there is any (one array (steps, *step_shape) per row), else from seeds.

    Args:
      n_steps: how many steps each row may need.
    Raises:
      ValueError: noise of another number of rows, of another shape, not finite, or of too few
        steps: it would repeat.
    """
    if injected is None:
        return KeyNoise.of(seeds, stage)
    if len(injected) != len(seeds):
        raise ValueError(f"noise has {len(injected)} entries, the batch has {len(seeds)} rows")
    for index, (row, least) in enumerate(zip(injected, n_steps, strict=True)):
        if np.ndim(row) != 1 + len(step_shape) or np.shape(row)[1:] != step_shape:
            raise ValueError(
                f"noise of the {stage} stage has shape {np.shape(row)}, want (steps, *{step_shape})"
            )
        if len(row) < least:
            raise ValueError(
                f"noise of the {stage} stage has {len(row)} steps, row {index} may need {least}"
            )
        if not np.can_cast(np.asarray(row).dtype, np.float64, "same_kind"):
            raise ValueError(
                f"noise of the {stage} stage has dtype {np.asarray(row).dtype}, want floats"
            )
        if not np.all(np.abs(row) <= np.finfo(np.float32).max):
            raise ValueError(f"noise of the {stage} stage is not finite in row {index}")
    steps = max(len(row) for row in injected)
    stacked = np.zeros((len(seeds), steps, *step_shape), np.float32)
    for row, values in zip(stacked, injected, strict=True):
        row[: len(values)] = values
    return InjectedNoise(stacked)
