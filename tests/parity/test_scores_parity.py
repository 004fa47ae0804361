"""Scores against the distributions that the original draws from, while it draws."""

import contextlib
from collections.abc import Iterator
from unittest import mock

import numpy as np
import pytest
import torch

TEXT = "hello there, the weather is nice today"
VOICE = "en_speaker_6"
# Logits of spread 1 in float32; see test_models_parity.py, where layers of full size have 2e-5.
TOLERANCE = 2e-5


@contextlib.contextmanager
def recording(reference) -> Iterator[tuple[object, list[np.ndarray]]]:
    """The original, taking the likeliest id each time; the log-probabilities of all its draws."""
    with reference.running() as suno:
        draw, seen = torch.multinomial, []

        def multinomial(probs, num_samples):
            seen.append(np.log(probs.numpy()))
            return draw(probs, num_samples)

        with mock.patch.object(torch, "multinomial", multinomial):
            yield suno, seen


def log_p(logits: np.ndarray) -> np.ndarray:
    top = logits.max(-1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))


def check(scores, stage: str, codes: np.ndarray, want: np.ndarray, first: int = 0) -> None:
    """Every id's log-probability, the tokens' own, and that they are the likeliest.

    Args:
      first: codebook that is scored.
    """
    got = log_p(scores.details["logits"][stage][first:])
    np.testing.assert_allclose(got, want, atol=TOLERANCE)
    own = np.take_along_axis(want, codes[first:, :, None], -1)[..., 0]
    np.testing.assert_allclose(getattr(scores, stage)[first:], own, atol=TOLERANCE)
    assert (scores.details["rank"][stage][first:] == 0).all()


@pytest.mark.parametrize("voice", [None, VOICE])
def test_semantic(reference, bark, voice):
    with recording(reference) as (suno, seen):
        tokens = suno.generate_text_semantic(
            TEXT, voice, temp=1.0, max_gen_duration_s=0.5, allow_early_stop=False, silent=True
        )
    scores = bark.score(text=TEXT, semantic=tokens, voice=voice, details=["logits", "rank"])
    # without an early stop, the original has no column for the end
    want = np.stack(seen)
    logits = scores.details["logits"]["semantic"][:-1]
    np.testing.assert_allclose(log_p(logits[:, :-1]), want, atol=TOLERANCE)
    others = np.log1p(-np.exp(log_p(logits)[:, -1]))
    own = np.take_along_axis(want, tokens[:, None], -1)[:, 0]
    np.testing.assert_allclose(scores.semantic[:-1] - others, own, atol=TOLERANCE)


@pytest.mark.parametrize("voice, n", [(None, 230), (VOICE, 30)])  # the context moves in both
def test_coarse(reference, bark, voice, n):
    semantic = np.random.default_rng(n).integers(0, 10_000, n)
    with recording(reference) as (suno, seen):
        codes = suno.generate_coarse(semantic, voice, temp=1.0, silent=True)
    scores = bark.score(semantic=semantic, coarse=codes, voice=voice, details=["logits", "rank"])
    check(scores, "coarse", codes, np.stack(seen).reshape(-1, 2, 1024).swapaxes(0, 1))


def test_fine(reference, bark):
    """Two windows: the second sees what the first wrote, and writes part of it anew."""
    coarse = np.random.default_rng(0).integers(0, 1024, (2, 1100))
    sampling = {"fine": {"temperature": 0}}
    with recording(reference) as (suno, seen):
        codes = suno.generate_fine(coarse, None, temp=1.0)
    scores = bark.score(fine=codes, sampling=sampling, details=["logits", "rank"])
    drawn = np.stack(seen)  # 1024 frames, then those from 512 on
    first_QTV = drawn[: 6 * 1024].reshape(6, 1024, -1)[:, :512]
    want = np.concatenate([first_QTV, drawn[6 * 1024 :].reshape(6, 1100 - 512, -1)], axis=1)
    check(scores, "fine", codes, want, first=2)
