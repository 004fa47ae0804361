"""Training of the semantic model: text and the voice's history in, semantic tokens and EOS out."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.data.records import Record
from bark_jax.models.forward import Seen, Watch
from bark_jax.models.gpt import GPT
from bark_jax.params import Params
from bark_jax.stages.semantic import prompt
from bark_jax.training.tasks.corruption import corrupt
from bark_jax.training.tasks.cross_entropy import IGNORED, token_sums
from bark_jax.training.tasks.guided_attention import (
    off_diagonal,
    share_of_time,
    share_of_units,
)
from bark_jax.training.tasks.task import Batch, Example, LossSums
from bark_jax.training.tasks.transformer import TransformerTask


@dataclasses.dataclass(frozen=True, kw_only=True)
class SemanticTask(TransformerTask):
    """Examples are [text + history, summed] [infer] [tokens], as inference reads them.

    The loss counts semantic tokens and the end-of-sequence token, nothing else.
    """

    max_tokens: int | None = None  # of one example, EOS included; None: as many as inference draws
    history_tokens: int | None = None  # of a voice, its last ones; None: as many as fit
    guide_weight: float = 0.0  # of guided attention, at the run's beginning
    guide_layers: tuple[int, ...] = (1, 2)
    guide_until: float = 0.5  # share of the run at which it has faded out
    guide_slope: float = 0.06  # of the width that it allows, in the text's length
    guide_states: int = 0  # ids of a unit of speech, such as 3 thirds of a phone; 0: go by time

    stage = "semantic"
    make = GPT

    def __post_init__(self) -> None:
        limit = self.cfg.tokens.max_semantic_tokens
        if self.max_tokens is not None and not 1 <= self.max_tokens <= limit:
            raise ValueError(f"max_tokens={self.max_tokens} is not in 1 … {limit}")
        if self.history_tokens is not None and self.history_tokens < 1:
            raise ValueError(f"history_tokens={self.history_tokens}, want at least 1")
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
        voice = None if history is None else history.semantic
        if voice is not None and self.history_tokens is not None:
            voice = voice[-self.history_tokens :]
        prompt_P = prompt(text_T, voice, layout)

        wanted = np.append(record.semantic, layout.semantic_pad_token)[: self.n_targets]
        targets = np.full(self.n_targets, IGNORED, np.int32)
        targets[: len(wanted)] = wanted
        # every token but the last target is read; after them any id will do
        read = np.full(self.n_targets - 1, layout.semantic_pad_token, np.int32)
        given = corrupt(wanted[:-1], 0, layout.semantic_vocab_size, self.corruption, rng)
        read[: len(given)] = given
        share = np.ones(self.n_targets, np.float32)
        if self.guide_states:
            passed = share_of_units(record.semantic, self.guide_states)
        else:
            passed = share_of_time(len(wanted))
        passed = passed[: self.n_targets]
        share[: len(passed)] = passed
        return {
            "ids": np.concatenate([prompt_P, read]).astype(np.int32),
            "targets": targets,
            "n_text": np.array(len(kept), np.int32),
            "share": share,
        }

    def loss(
        self, params: Params, batch: Batch, key: jax.Array | None, progress: jax.Array
    ) -> LossSums:
        is_guided = key is not None and self.guide_weight > 0
        logits_BTV, seen = self.logits(params, batch["ids"], self._keep if is_guided else None)
        sums = token_sums(logits_BTV, batch["targets"])
        if is_guided:
            away = self._off_diagonal(seen, batch)
            weight = self.guide_weight * jnp.maximum(0, 1 - progress / self.guide_until)
            sums["loss"] += jnp.stack([weight * away, jnp.float32(0)])
            sums["guide"] = jnp.stack([away, sums["loss"][1] * len(self.guide_layers)])
        return LossSums(sums=sums, updates={})

    def logits(
        self, params: Params, ids_BT: jax.Array, watch: Watch | None = None
    ) -> tuple[jax.Array, Seen]:
        """Scores (B, n_targets, V) of each target, V = semantic ids and EOS; what `watch` kept."""
        layout, model = self.cfg.tokens, self.model(params)
        x_BTD = model.embed_merged(ids_BT, layout.text_length)
        out_BTD, seen = model(x_BTD, remat=self.remat, watch=watch)
        out_BTD = out_BTD[:, layout.text_length :]
        return model.logits(out_BTD, 0, layout.semantic_pad_token + 1), seen

    def _keep(self, name: str, value: jax.Array) -> jax.Array | None:
        """Queries and keys (B, T, K) of the first head of the guided layers."""
        wanted = {f"h.{layer}.attn.{each}" for layer in self.guide_layers for each in "qk"}
        return value[:, :, 0] if name in wanted else None

    def _off_diagonal(self, seen: Seen, batch: Batch) -> jax.Array:
        is_token_BT = batch["targets"] != IGNORED
        away = jnp.float32(0)
        for layer in self.guide_layers:
            q_BTK, k_BTK = seen[f"h.{layer}.attn.q"], seen[f"h.{layer}.attn.k"]
            away += off_diagonal(
                q_BTK, k_BTK, batch["n_text"], batch["share"], is_token_BT, self.guide_slope
            )
        return away
