"""Training of the semantic model: text and the voice's history in, semantic tokens and EOS out."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.config import BarkConfig
from bark_jax.data.records import Record
from bark_jax.models.binding import bind, init_params
from bark_jax.models.forward import Watch, run_blocks
from bark_jax.models.gpt import GPT
from bark_jax.models.layers import DTypes
from bark_jax.params import Params
from bark_jax.stages.semantic import prompt
from bark_jax.training.tasks.corruption import corrupt
from bark_jax.training.tasks.cross_entropy import IGNORED, token_sums
from bark_jax.training.tasks.guided_attention import off_diagonal
from bark_jax.training.tasks.task import Batch, Example, LossSums


@dataclasses.dataclass(frozen=True, kw_only=True)
class SemanticTask:
    """Examples are [text + history, summed] [infer] [tokens], as inference reads them.

    The loss counts semantic tokens and the end-of-sequence token, nothing else.
    """

    cfg: BarkConfig
    compute_dtype: str = "float32"
    remat: bool = False
    max_tokens: int | None = None  # of one example, EOS included; None: as many as inference draws
    history_share: float = 0.5
    corruption: float = 0.0  # share of random tokens among the inputs
    guide_weight: float = 0.0  # of guided attention, at the run's beginning
    guide_layers: tuple[int, ...] = (1, 2)
    guide_until: float = 0.5  # share of the run at which it has faded out

    stage = "semantic"
    needs_audio = False

    def __post_init__(self) -> None:
        limit = self.cfg.tokens.max_semantic_tokens
        if self.max_tokens is not None and not 1 <= self.max_tokens <= limit:
            raise ValueError(f"max_tokens={self.max_tokens} is not in 1 … {limit}")
        for layer in self.guide_layers if self.guide_weight else ():
            if not 0 <= layer < self.cfg.semantic.n_layer:
                raise ValueError(
                    f"guide_layers={self.guide_layers}: the model has layers 0 … "
                    f"{self.cfg.semantic.n_layer - 1}"
                )

    @property
    def n_targets(self) -> int:
        return self.max_tokens or self.cfg.tokens.max_semantic_tokens

    def for_evaluation(self) -> "SemanticTask":
        return dataclasses.replace(self, corruption=0.0, guide_weight=0.0)

    def example(self, record: Record, history: Record | None, rng: np.random.Generator) -> Example:
        """One record as `ids` (2·text_length + n_targets) and `targets` (n_targets).

        A record longer than `n_targets` loses its end, and with it the end-of-sequence target.
        """
        layout = self.cfg.tokens
        text_T = np.full(layout.text_length, layout.text_pad_token, np.int32)
        kept = record.text_ids[: layout.text_length] + layout.text_encoding_offset
        text_T[: len(kept)] = kept
        prompt_P = prompt(text_T, None if history is None else history.semantic, layout)

        wanted = np.append(record.semantic, layout.semantic_pad_token)[: self.n_targets]
        targets = np.full(self.n_targets, IGNORED, np.int32)
        targets[: len(wanted)] = wanted
        # every token but the last target is read; behind them any id will do
        read = np.full(self.n_targets - 1, layout.semantic_pad_token, np.int32)
        given = corrupt(wanted[:-1], 0, layout.semantic_vocab_size, self.corruption, rng)
        read[: len(given)] = given
        return {
            "ids": np.concatenate([prompt_P, read]).astype(np.int32),
            "targets": targets,
            "n_text": np.array(len(kept), np.int32),
        }

    def init(self, key: jax.Array) -> Params:
        return init_params(GPT, self.cfg.semantic, DTypes(), key=key)

    def helpers(self, key: jax.Array) -> Params:
        return {}

    def is_trained(self, name: str) -> bool:
        return True

    def loss(
        self, params: Params, batch: Batch, key: jax.Array | None, progress: jax.Array
    ) -> LossSums:
        guide = self._guide(batch) if key is not None and self.guide_weight else None
        logits_BTV, away = self.logits(params, batch["ids"], guide)
        sums = token_sums(logits_BTV, batch["targets"])
        if guide is not None:
            weight = self.guide_weight * jnp.maximum(0, 1 - progress / self.guide_until)
            sums["loss"] += jnp.stack([weight * away, jnp.float32(0)])
            sums["guide"] = jnp.stack([away, sums["loss"][1] * len(self.guide_layers)])
        return LossSums(sums=sums, updates={})

    def logits(
        self, params: Params, ids_BT: jax.Array, watch: Watch | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Scores (B, n_targets, V) of each target, V = semantic ids and EOS; sum of `watch`."""
        layout = self.cfg.tokens
        dtypes = DTypes(compute=self.compute_dtype)
        model = bind(GPT, self.cfg.semantic, dtypes, params=params)
        x_BTD = model.embed_merged(ids_BT, layout.text_length)
        x_BTD += model.wpe(jnp.arange(x_BTD.shape[1]))[None]
        x_BTD, seen = run_blocks(
            model.h, x_BTD, is_causal=True, dtypes=dtypes, remat=self.remat, watch=watch
        )
        out_BTD = model.ln_f(x_BTD[:, layout.text_length :])
        return model.logits(out_BTD, 0, layout.semantic_pad_token + 1), seen

    def _guide(self, batch: Batch) -> Watch:
        n_tokens_B = (batch["targets"] != IGNORED).sum(-1)

        def watch(layer: int, q_BTHK: jax.Array, k_BTHK: jax.Array) -> jax.Array:
            if layer not in self.guide_layers:
                return jnp.float32(0)
            q_BTK, k_BTK = q_BTHK[:, :, 0], k_BTHK[:, :, 0]
            first = self.cfg.tokens.text_length
            return off_diagonal(q_BTK, k_BTK, batch["n_text"], n_tokens_B, first)

        return watch
