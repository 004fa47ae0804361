"""The causal transformer of the semantic and the coarse stage.

Source: suno-ai/bark @f4f32d4, bark/model.py, GPT. Parameter names are the checkpoint's, without
its `transformer.` prefix.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from bark_jax.config import GPTConfig
from bark_jax.formulations.interface import LayerCache
from bark_jax.models.forward import Seen, Watch, run_blocks
from bark_jax.models.layers import (
    Block,
    Embedding,
    LayerNorm,
    Linear,
    Tap,
    tap_of_layer,
    untouched,
)
from bark_jax.runtime.execution import Execution

Cache = tuple[LayerCache, ...]  # one per layer


class GPT(nnx.Module):
    """Pre-norm GPT with learned absolute positions and an untied head without bias."""

    def __init__(self, cfg: GPTConfig, execution: Execution, *, rngs: nnx.Rngs) -> None:
        self.execution = execution
        self.wte = Embedding(cfg.input_vocab_size, cfg.n_embd, execution, rngs=rngs)
        self.wpe = Embedding(cfg.block_size, cfg.n_embd, execution, rngs=rngs)
        self.h = nnx.List([Block(cfg, cfg.bias, execution, rngs=rngs) for _ in range(cfg.n_layer)])
        self.ln_f = LayerNorm(cfg.n_embd, cfg.bias, execution)
        self.lm_head = Linear(cfg.n_embd, cfg.output_vocab_size, False, execution, rngs=rngs)

    def embed(self, ids_BT: jax.Array) -> jax.Array:
        """Token embeddings, without positions."""
        return self.wte(ids_BT)

    def embed_merged(self, ids_BT: jax.Array, length: int) -> jax.Array:
        """Embeddings of [a | b | rest] where a and b, `length` ids each, are summed.

        The semantic model sees a text and its voice this way: 2·length + n ids become length + n
        positions.
        """
        x_BTD = self.wte(ids_BT)
        both_BTD = x_BTD[:, :length] + x_BTD[:, length : 2 * length]
        return jnp.concatenate([both_BTD, x_BTD[:, 2 * length :]], axis=1)

    def __call__(
        self,
        x_BTD: jax.Array,
        *,
        remat: bool = False,
        watch: Watch | None = None,
        tap: Tap = untouched,
    ) -> tuple[jax.Array, Seen]:
        """Runs a sequence of embeddings from position 0 on.

        Args:
          remat: recompute activations in the backward pass, to save memory.
          watch: receives named intermediates, see `forward.Watch`.
          tap: called with all of them, `embed` and `ln_f` as well; here and below.
        Returns:
          The last layer's normalised output (B, T, D), and what `watch` kept.
        """
        x_BTD = tap("embed", x_BTD + self.wpe(jnp.arange(x_BTD.shape[1]))[None])
        x_BTD, seen = run_blocks(
            self.h, x_BTD, self.execution, is_causal=True, remat=remat, watch=watch, tap=tap
        )
        return tap("ln_f", self.ln_f(x_BTD)), seen

    def prefill(
        self, x_BPD: jax.Array, length_B: jax.Array, slots: int, tap: Tap = untouched
    ) -> tuple[jax.Array, Cache]:
        """Runs prompts of embeddings from position 0 on, padded on the right.

        Args:
          length_B: int32, positions of each prompt.
          slots: of the cache.
          tap: with one, the last layer computes all positions, not only those that are used.
        Returns:
          The normalised output (B, D) at each prompt's last position, and a cache of `slots` slots
          whose first P hold the prompts.
        """
        x_BPD = tap("embed", x_BPD + self.wpe(jnp.arange(x_BPD.shape[1]))[None])
        caches: list[LayerCache] = []

        def last(z: jax.Array) -> jax.Array:
            at_B = (length_B - 1).reshape(-1, *[1] * (z.ndim - 1))
            return jnp.take_along_axis(z, at_B, axis=1)

        def attend(q_BPHK: jax.Array, k_BPHK: jax.Array, v_BPHK: jax.Array) -> jax.Array:
            caches.append(self.execution.cache_of_prompt(k_BPHK, v_BPHK, slots))
            return self.execution.attend_sequence(q_BPHK, k_BPHK, v_BPHK, is_causal=True)

        def attend_last(q_B1HK: jax.Array, k_BPHK: jax.Array, v_BPHK: jax.Array) -> jax.Array:
            """As a decode step; the cache that it writes to is not kept."""
            caches.append(self.execution.cache_of_prompt(k_BPHK, v_BPHK, slots))
            before_BM = jnp.arange(slots)[None] < length_B[:, None] - 1
            slot = jnp.int32(k_BPHK.shape[1] - 1)  # its own, or padding
            return self.execution.attend_cache(
                q_B1HK, last(k_BPHK), last(v_BPHK), caches[-1], before_BM, slot
            )[0]

        for index, block in enumerate(self.h):
            if index + 1 == len(self.h) and tap is untouched:
                x_BPD = block(x_BPD, attend_last, pick=last)
            else:
                x_BPD = block(x_BPD, attend, tap_of_layer(tap, index))
        out_BPD = tap("ln_f", self.ln_f(x_BPD))
        return (out_BPD if tap is untouched else last(out_BPD))[:, 0], tuple(caches)

    def step(
        self,
        ids_B: jax.Array,
        position_B: jax.Array,
        cache: Cache,
        visible_BM: jax.Array,
        slot: jax.Array,
        tap: Tap = untouched,
    ) -> tuple[jax.Array, Cache]:
        """Decode step: feeds one id per row, at the row's own position, and caches it in `slot`.

        Args:
          visible_BM: bool, the slots that a row attends to, besides its new one.
          slot: int32 [], the same for all rows.
        Returns:
          The normalised output (B, D), and the cache with the new slot written.
        """
        x_B1D = tap("embed", (self.wte(ids_B) + self.wpe(position_B))[:, None])
        caches: list[LayerCache] = []
        for index, (block, layer) in enumerate(zip(self.h, cache, strict=True)):

            def attend(
                q_B1HK: jax.Array, k_B1HK: jax.Array, v_B1HK: jax.Array, layer: LayerCache = layer
            ) -> jax.Array:
                mixed_B1HK, layer = self.execution.attend_cache(
                    q_B1HK, k_B1HK, v_B1HK, layer, visible_BM, slot
                )
                caches.append(layer)
                return mixed_B1HK

            x_B1D = block(x_B1D, attend, tap_of_layer(tap, index))
        return tap("ln_f", self.ln_f(x_B1D))[:, 0], tuple(caches)

    def logits(
        self, x_BD: jax.Array, first: jax.Array | int = 0, count: int | None = None
    ) -> jax.Array:
        """Logits (B, count) of `count` ids from `first` on (all without `count`), float32."""
        return self.lm_head(x_BD, first, count)
