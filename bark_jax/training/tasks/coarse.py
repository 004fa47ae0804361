"""Training of the coarse model: the contexts of inference, window by window."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.data.records import Record
from bark_jax.models.gpt import GPT
from bark_jax.params import Params
from bark_jax.stages.coarse_plan import CoarsePlan, flatten, make_plan, segments
from bark_jax.training.tasks.corruption import corrupt
from bark_jax.training.tasks.cross_entropy import IGNORED, token_sums
from bark_jax.training.tasks.task import Batch, Example, LossSums
from bark_jax.training.tasks.transformer import TransformerTask

LOSS_ON = ("context", "new")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CoarseTask(TransformerTask):
    """Examples are [semantic] [infer] [coarse], one segment of a record after its context.

    A segment is what inference makes from one reading of its context (`coarse_plan.segments`), and
    every coarse token of a record is equally likely to be in it.
    The loss counts the record's own coarse tokens; those of a voice's history are only read.
    """

    loss_on: str = "context"  # "new": only the tokens that inference draws from this context

    stage = "coarse"
    make = GPT

    def __post_init__(self) -> None:
        if self.loss_on not in LOSS_ON:
            raise ValueError(f"loss_on={self.loss_on!r} is not one of {LOSS_ON}")

    @property
    def n_targets(self) -> int:
        """Longest segment with its context, in coarse tokens."""
        layout = self.cfg.tokens
        return layout.max_coarse_history + layout.coarse_window

    def for_evaluation(self) -> "CoarseTask":
        return dataclasses.replace(self, corruption=0.0)

    def example(self, record: Record, history: Record | None, rng: np.random.Generator) -> Example:
        """A segment as `ids` (semantic length + n_targets) and `targets` (n_targets)."""
        layout = self.cfg.tokens
        voice = history and (history.semantic, history.codes[: layout.n_coarse_codebooks])
        plan = make_plan(record.semantic, voice, layout, layout.max_coarse_history)
        made = flatten(record.codes[: layout.n_coarse_codebooks], layout)[: plan.n_tokens]
        begin, stop = _draw_segment(dataclasses.replace(plan, n_tokens=len(made)), rng)

        semantic_length = layout.coarse_semantic_length
        context = plan.context(made[:begin])
        wanted = np.concatenate([context[semantic_length + 1 :], made[begin:stop]])
        is_own = np.arange(len(wanted)) >= len(wanted) - stop  # not the voice's
        if self.loss_on == "new":
            is_own = np.arange(len(wanted)) >= len(wanted) - (stop - begin)
        targets = np.full(self.n_targets, IGNORED, np.int32)
        targets[: len(wanted)] = np.where(is_own, wanted, IGNORED)

        read = np.full(self.n_targets - 1, layout.coarse_infer_token, np.int32)
        first = wanted[:-1] - (wanted[:-1] - layout.coarse_offset(0)) % layout.codebook_size
        read[: len(wanted) - 1] = corrupt(
            wanted[:-1], first, first + layout.codebook_size, self.corruption, rng
        )
        ids = np.concatenate([context[: semantic_length + 1], read])
        return {"ids": ids.astype(np.int32), "targets": targets}

    def loss(
        self, params: Params, batch: Batch, key: jax.Array | None, progress: jax.Array
    ) -> LossSums:
        layout = self.cfg.tokens
        targets_BT = batch["targets"]
        is_target_BT = targets_BT != IGNORED
        code_BT = jnp.where(is_target_BT, targets_BT - layout.coarse_offset(0), 0)
        codebook_BT = code_BT // layout.codebook_size
        logits_BTV = self.logits(params, batch["ids"], codebook_BT)
        own_BT = jnp.where(is_target_BT, code_BT % layout.codebook_size, IGNORED)
        sums = token_sums(logits_BTV, own_BT)
        for q in range(layout.n_coarse_codebooks):
            one_BT = jnp.where(codebook_BT == q, own_BT, IGNORED)
            sums[f"loss_codebook_{q}"] = token_sums(logits_BTV, one_BT)["loss"]
        return LossSums(sums=sums, updates={})

    def logits(self, params: Params, ids_BT: jax.Array, codebook_BT: jax.Array) -> jax.Array:
        """Scores (B, n_targets, codebook_size) of the codes of each position's codebook."""
        layout, model = self.cfg.tokens, self.model(params)
        out_BTD, _ = model(model.embed(ids_BT), remat=self.remat)
        out_BTD = out_BTD[:, layout.coarse_semantic_length :]
        Q, V = layout.n_coarse_codebooks, layout.codebook_size
        all_BTQV = model.logits(out_BTD, layout.coarse_offset(0), Q * V).reshape(
            *out_BTD.shape[:2], Q, V
        )
        chosen = codebook_BT[..., None, None]
        return jnp.take_along_axis(all_BTQV, chosen, axis=2)[:, :, 0]


def _draw_segment(plan: CoarsePlan, rng: np.random.Generator) -> tuple[int, int]:
    """First and last + 1 of the record's coarse tokens that one reading of the context yields."""
    token = rng.integers(plan.n_tokens)
    for begin, n_steps in segments([plan], plan.layout.coarse_window):
        if token < begin + n_steps:
            return begin, begin + n_steps
    raise AssertionError("segments cover every token")
