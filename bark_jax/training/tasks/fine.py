"""Training of the fine model: one codebook of a window from all codebooks up to it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.data.records import Record
from bark_jax.models.fine_gpt import FineGPT
from bark_jax.params import Params
from bark_jax.training.tasks.corruption import corrupt
from bark_jax.training.tasks.cross_entropy import IGNORED, token_sums
from bark_jax.training.tasks.task import Batch, Example, LossSums
from bark_jax.training.tasks.transformer import TransformerTask


@dataclasses.dataclass(frozen=True, kw_only=True)
class FineTask(TransformerTask):
    """Examples are windows of frames; the codebook to predict is drawn at each step.

    Of that codebook the model sees the frames before `n_seen` (a voice's history, or what an
    earlier window wrote) and pads after them. The loss counts the frames from `n_seen` on.
    """

    window: int | None = None  # frames of one example; None: as many as inference's window

    stage = "fine"
    make = FineGPT

    def __post_init__(self) -> None:
        limit = self.cfg.tokens.fine_window
        if self.window is not None and not 2 <= self.window <= limit:
            raise ValueError(f"window={self.window} is not in 2 … {limit}")

    def for_evaluation(self) -> "FineTask":
        return dataclasses.replace(self, corruption=0.0)

    def example(self, record: Record, history: Record | None, rng: np.random.Generator) -> Example:
        """A window as `codes` (T, Q), the inputs made of them as `read`, and `n_seen`, `n_frames`.

        With a history, its end comes first, as at inference. Without one, half of the windows
        have a random number of frames that count as written before.
        """
        layout = self.cfg.tokens
        T, Q = self.window or layout.fine_window, layout.n_fine_codebooks
        frames = record.codes[:Q].T
        if history is not None:
            kept = history.codes[:Q].T[-min(layout.fine_history, T // 2) :]
            frames, n_seen = np.concatenate([kept, frames]), len(kept)
            frames = frames[:T]
        else:
            start = rng.integers(max(1, len(frames) - T + 1))
            frames = frames[start : start + T]
            n_seen = rng.integers(len(frames)) if rng.random() < 0.5 else 0
        codes_TQ = np.full((T, Q), layout.fine_pad_token, np.int32)
        codes_TQ[: len(frames)] = frames
        # at inference the frames past the end get codes as well, which mean nothing
        behind = codes_TQ[len(frames) :, layout.n_coarse_codebooks :]
        behind[...] = rng.integers(0, layout.codebook_size, behind.shape)
        read_TQ = codes_TQ.copy()
        read_TQ[: len(frames)] = corrupt(
            codes_TQ[: len(frames)], 0, layout.codebook_size, self.corruption, rng
        )
        return {
            "codes": codes_TQ,
            "read": read_TQ,
            "n_seen": np.array(n_seen, np.int32),
            "n_frames": np.array(len(frames), np.int32),
        }

    def loss(
        self, params: Params, batch: Batch, key: jax.Array | None, progress: jax.Array
    ) -> LossSums:
        first, last = self.cfg.fine.n_codes_given, self.cfg.tokens.n_fine_codebooks
        first = max(first, self.cfg.tokens.n_coarse_codebooks)
        if key is not None:
            codebook = jax.random.randint(key, (), first, last)
            return LossSums(sums=self._sums(params, batch, codebook), updates={})
        each = {q: self._sums(params, batch, jnp.int32(q)) for q in range(first, last)}
        names = next(iter(each.values()))
        sums = {name: sum((s[name] for s in each.values()), jnp.zeros(2)) for name in names}
        sums |= {f"loss_codebook_{q}": s["loss"] for q, s in each.items()}
        return LossSums(sums=sums, updates={})

    def _sums(self, params: Params, batch: Batch, codebook: jax.Array) -> dict[str, jax.Array]:
        T = batch["codes"].shape[1]
        is_new_BT = jnp.arange(T)[None] >= batch["n_seen"][:, None]
        is_new_BT &= jnp.arange(T)[None] < batch["n_frames"][:, None]
        targets_BT = jnp.where(is_new_BT, jnp.take(batch["codes"], codebook, axis=2), IGNORED)
        return token_sums(self.logits(params, batch, codebook), targets_BT)

    def logits(self, params: Params, batch: Batch, codebook: jax.Array) -> jax.Array:
        """Scores (B, T, codebook_size) of `codebook` (traced int) in every frame."""
        layout, model = self.cfg.tokens, self.model(params)
        read_BTQ = batch["read"]
        T = read_BTQ.shape[1]
        is_hidden_BT = jnp.arange(T)[None] >= batch["n_seen"][:, None]
        is_own_Q = jnp.arange(read_BTQ.shape[2]) == codebook
        is_hidden_BTQ = is_hidden_BT[..., None] & is_own_Q[None, None]
        ids_BTQ = jnp.where(is_hidden_BTQ, layout.fine_pad_token, read_BTQ)
        out_BTD, _ = model(ids_BTQ, codebook, remat=self.remat)
        return model.logits(out_BTD, codebook, layout.codebook_size)
