"""The non-causal transformer of the fine stage.

Source: suno-ai/bark @f4f32d4, bark/model_fine.py, FineGPT.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from bark_jax.config import FineGPTConfig
from bark_jax.models.forward import Seen, Watch, run_blocks
from bark_jax.models.layers import Block, Embedding, LayerNorm, Tap, scaled, untouched
from bark_jax.runtime.execution import Execution


class FineGPT(nnx.Module):
    """Predicts one codebook of every frame from all frames of the codebooks up to it.

    Each codebook has an embedding table. The table of codebook j is its output head as well, so
    the checkpoint's `lm_heads` are not stored. LayerNorms always have a bias here.
    """

    def __init__(self, cfg: FineGPTConfig, execution: Execution, *, rngs: nnx.Rngs) -> None:
        if cfg.input_vocab_size != cfg.output_vocab_size:
            raise ValueError(
                f"tied heads want output_vocab_size={cfg.output_vocab_size} equal to "
                f"input_vocab_size={cfg.input_vocab_size}"
            )
        self.execution = execution
        self.wtes = nnx.List(
            [
                Embedding(cfg.input_vocab_size, cfg.n_embd, execution, rngs=rngs)
                for _ in range(cfg.n_codes_total)
            ]
        )
        self.wpe = Embedding(cfg.block_size, cfg.n_embd, execution, rngs=rngs)
        self.h = nnx.List([Block(cfg, True, execution, rngs=rngs) for _ in range(cfg.n_layer)])
        self.ln_f = LayerNorm(cfg.n_embd, True, execution)

    def embed(self, codes_BTQ: jax.Array, codebook: jax.Array) -> jax.Array:
        """Embeddings (B, T, D), positions included, for predicting `codebook` (traced int).

        They are sums over codebooks 0 … `codebook`, the predicted one included: it holds what an
        earlier window wrote, a history value, or the pad token.
        """
        T = codes_BTQ.shape[1]
        x_BTD = jnp.zeros((*codes_BTQ.shape[:2], self.wpe.weight.shape[1]), jnp.float32)
        for q, table in enumerate(self.wtes):
            x_BTD += jnp.where(q <= codebook, table(codes_BTQ[:, :, q]), 0.0)
        return x_BTD + self.wpe(jnp.arange(T))[None]

    def __call__(
        self,
        codes_BTQ: jax.Array,
        codebook: jax.Array,
        *,
        remat: bool = False,
        watch: Watch | None = None,
        tap: Tap = untouched,
    ) -> tuple[jax.Array, Seen]:
        """Reads all frames to predict `codebook` (traced int, 1 … Q-1).

        Args:
          remat, watch, tap: as in `GPT.__call__`.
        Returns:
          The last layer's normalised output (B, T, D), and what `watch` kept.
        """
        x_BTD, seen = run_blocks(
            self.h,
            tap("embed", self.embed(codes_BTQ, codebook)),
            self.execution,
            is_causal=False,
            remat=remat,
            watch=watch,
            tap=tap,
        )
        return tap("ln_f", self.ln_f(x_BTD)), seen

    def logits(self, x: jax.Array, codebook: jax.Array, count: int) -> jax.Array:
        """Logits (…, count) of the first `count` codes of `codebook` (traced int), float32."""
        # select_n, because XLA kept a copy of all tables when they were stacked and indexed
        tables = (table.weight[...][:count] for table in self.wtes)
        y = self.execution.linear(x, jax.lax.select_n(codebook, *tables))
        scales = [table.scale[...][:count] for table in self.wtes if table.scale is not None]
        return scaled(y, jax.lax.select_n(codebook, *scales) if scales else None)
