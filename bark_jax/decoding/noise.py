"""Where the randomness of a draw comes from: a key per row, or noise from the caller.

Both give Gumbel noise g for a draw as `argmax(log p + g)`. A row's noise depends only on its seed,
the stage and the step, so a row draws the same alone and in any batch.
"""

from collections.abc import Sequence

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.config import STAGES


@flax.struct.dataclass
class KeyNoise:
    """Gumbel noise from one typed key per row."""

    key_B: jax.Array

    @classmethod
    def of(cls, seeds: Sequence[int], stage: str) -> "KeyNoise":
        """Keys that depend on a row's seed and on the stage alone."""
        seed_B = np.array([seed % 2**64 for seed in seeds], np.uint64)

        def key(high: jax.Array, low: jax.Array) -> jax.Array:
            root = jax.random.wrap_key_data(jnp.stack([high, low]), impl="threefry2x32")
            return jax.random.fold_in(root, STAGES.index(stage))

        high_B = (seed_B >> np.uint64(32)).astype(np.uint32)
        low_B = (seed_B & np.uint64(0xFFFFFFFF)).astype(np.uint32)
        return cls(jax.vmap(key)(jnp.asarray(high_B), jnp.asarray(low_B)))

    def gumbel(self, step_B: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """Noise (B, *shape) of one step per row."""

        def row(key: jax.Array, step: jax.Array) -> jax.Array:
            return jax.random.gumbel(jax.random.fold_in(key, step), shape, jnp.float32)

        return jax.vmap(row)(self.key_B, step_B)


@flax.struct.dataclass
class InjectedNoise:
    """Gumbel noise from the caller, for comparing runs draw by draw.

    A draw of torch's multinomial on CPU is `argmax(p / E)` with E from Exp(1): pass `-log(E)`.
    """

    gumbel_BN: jax.Array  # (B, steps, *shape)

    def gumbel(self, step_B: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """Noise (B, *shape) of one step per row."""
        rows_B = jnp.arange(self.gumbel_BN.shape[0])
        noise = self.gumbel_BN[rows_B, step_B]
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
    return InjectedNoise(jnp.asarray(stacked))
