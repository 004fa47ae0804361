"""Which semantic and coarse tokens the coarse model sees, window by window. Integers only.

Source: suno-ai/bark @f4f32d4, bark/generation.py, generate_coarse. The original computes these
indices in float64; the exact fractions here give the same numbers for all reachable lengths.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np

from bark_jax.config import TokenLayout


@dataclasses.dataclass(frozen=True)
class CoarsePlan:
    """The windows of one row."""

    semantic: np.ndarray  # history, then the tokens to speak; int32
    n_history: int  # semantic tokens of history
    history: np.ndarray  # flat coarse ids of history, codebooks interleaved; int32
    n_tokens: int  # coarse tokens to generate, of all codebooks together
    layout: TokenLayout
    max_history: int  # coarse tokens in the context

    def starts(self, n_done: int) -> tuple[int, int]:
        """First semantic and first coarse token of the context after `n_done` new tokens."""
        ratio = self.layout.coarse_per_semantic
        semantic = self.n_history + round(n_done / ratio) - math.floor(self.max_history / ratio)
        return max(0, semantic), max(0, len(self.history) + n_done - self.max_history)

    def context(self, generated: np.ndarray) -> np.ndarray:
        """The model's input ids: [semantic, padded on the right] [infer] [coarse].

        Args:
          generated: flat coarse ids made so far.
        """
        layout = self.layout
        first_semantic, first_coarse = self.starts(len(generated))
        shown = self.semantic[first_semantic:][: layout.coarse_semantic_length]
        padded = np.full(layout.coarse_semantic_length, layout.coarse_semantic_pad_token, np.int32)
        padded[: len(shown)] = shown
        coarse = np.concatenate([self.history, generated])[first_coarse:]
        return np.concatenate([padded, [layout.coarse_infer_token], coarse]).astype(np.int32)


def make_plan(
    semantic: np.ndarray,
    history: tuple[np.ndarray, np.ndarray] | None,
    layout: TokenLayout,
    max_history: int,
) -> CoarsePlan:
    """Trims the history of one row and counts its tokens.

    Args:
      semantic: (N,) tokens to speak.
      history: semantic tokens (N',) and coarse codes (Q, T') of a voice, or None.
    """
    Q, ratio = layout.n_coarse_codebooks, layout.coarse_per_semantic
    kept_semantic, kept_coarse = np.zeros(0, np.int32), np.zeros(0, np.int32)
    if history is not None:
        semantic_history, codes_QT = history
        flat = flatten(codes_QT, layout)
        n_semantic = min(
            math.floor(max_history / ratio),
            len(semantic_history) - len(semantic_history) % 2,
            math.floor(len(flat) / ratio),
        )
        n_coarse = round(n_semantic * ratio)
        kept_semantic = semantic_history[len(semantic_history) - n_semantic :]
        # The last frame is dropped to align the two in time, as the original does.
        kept_coarse = flat[len(flat) - n_coarse : len(flat) - Q]
    n_tokens = Q * math.floor(len(semantic) * ratio / Q)
    return CoarsePlan(
        np.concatenate([kept_semantic, semantic]).astype(np.int32),
        len(kept_semantic),
        kept_coarse.astype(np.int32),
        n_tokens,
        layout,
        max_history,
    )


def segments(plans: Sequence[CoarsePlan], window: int) -> Iterator[tuple[int, int]]:
    """Yields (tokens done, tokens to make) of each segment: what one prefill of the context serves.

    The original prefills its context for every window. As long as no row's context has lost its
    beginning, the new context is the old one plus the new tokens, so the KV cache is kept.
    """
    n_tokens = max(plan.n_tokens for plan in plans)
    begin = 0
    while begin < n_tokens:
        end = segment_end(plans, begin, window, n_tokens)
        yield begin, end - begin
        begin = end


def segment_end(plans: Sequence[CoarsePlan], begin: int, window: int, n_tokens: int) -> int:
    """Where the segment ends that begins after `begin` of `n_tokens` tokens."""
    at = begin + window
    while at < n_tokens and all(
        plan.starts(at) == plan.starts(begin) for plan in plans if at < plan.n_tokens
    ):
        at += window
    return min(at, n_tokens)


def flatten(codes_QT: np.ndarray, layout: TokenLayout) -> np.ndarray:
    """Codes (Q, T) as ids of the coarse model, frame by frame."""
    offset_Q1 = np.array([[layout.coarse_offset(q)] for q in range(len(codes_QT))])
    return (codes_QT + offset_Q1).ravel(order="F").astype(np.int32)


def unflatten(flat: np.ndarray, layout: TokenLayout) -> np.ndarray:
    """The inverse of `flatten`."""
    Q = layout.n_coarse_codebooks
    offset_Q1 = np.array([[layout.coarse_offset(q)] for q in range(Q)])
    return (flat.reshape(-1, Q).T - offset_Q1).astype(np.int32)
