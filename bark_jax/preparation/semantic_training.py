"""Trains semantic tokenizers with scikit-learn."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from bark_jax.preparation.corpus import Phone
from bark_jax.preparation.semantic_features import (
    FeatureConfig,
    features,
    stack_context,
    token_times,
)
from bark_jax.preparation.semantic_tokenizers import (
    KMeansTokenizer,
    PhoneTokenizer,
    Scaling,
    phone_tokens,
    weighted,
)

MIN_FRAMES_PER_CENTRE = 10
BATCH_FRAMES = 10_240  # of one k-means step


def train_kmeans(
    clips: Sequence[np.ndarray], sample_rate: int, cfg: FeatureConfig, *, vocab_size: int, seed: int
) -> tuple[KMeansTokenizer, float]:
    """K-means over the features of clips (S,).

    Args:
      vocab_size: of the tokens; fewer where there are less than 10 frames for each.
    Returns:
      the tokenizer, and the share of the features' variance that its centres leave unexplained.
    Raises:
      ValueError: there are no clips, or too few frames for two centres.
    """
    from sklearn.cluster import MiniBatchKMeans

    frames = _all_features(clips, sample_rate, cfg)
    scaling = Scaling.of(frames)
    points = weighted(scaling(frames), cfg).astype(np.float32)
    n_centres = min(vocab_size, len(points) // MIN_FRAMES_PER_CENTRE)
    if n_centres < 2:
        raise ValueError(f"{len(points)} frames are too few for k-means")
    if n_centres < vocab_size:
        print(
            f"{len(points)} frames make {n_centres} semantic tokens, not {vocab_size}",
            file=sys.stderr,
        )
    options: dict[str, Any] = {"batch_size": BATCH_FRAMES, "n_init": 1, "random_state": seed}
    fitted: Any = MiniBatchKMeans(n_centres, **options).fit(points)
    unexplained = fitted.inertia_ / np.square(points - points.mean(axis=0)).sum()
    centres = fitted.cluster_centers_.astype(np.float32)
    return KMeansTokenizer(cfg, scaling, centres), float(unexplained)


def train_phones(
    clips: Sequence[np.ndarray],
    sample_rate: int,
    alignments: Sequence[Sequence[Phone]],
    cfg: FeatureConfig,
    *,
    seed: int,
    n_hidden: int = 256,
    n_context: int = 5,
) -> tuple[PhoneTokenizer, float]:
    """A classifier of frames into phones × thirds from time-stamped phones.

    Args:
      alignments: the phones of each clip, from its beginning.
    Returns:
      the tokenizer, and the share of right frames in the tenth that it was not trained on.
    Raises:
      ValueError: there are no clips, or a clip has no phones.
    """
    import threadpoolctl
    from sklearn.neural_network import MLPClassifier

    names = phone_names(alignments)
    per_clip = [features(clip, sample_rate, cfg) for clip in clips]
    if not per_clip:
        raise ValueError("there are no clips to train on")
    scaling = Scaling.of(np.concatenate(per_clip))
    inputs = [stack_context(scaling(vectors), n_context) for vectors in per_clip]
    targets = [
        phone_tokens(phones, token_times(len(vectors), cfg.rate_hz), names)
        for phones, vectors in zip(alignments, per_clip, strict=True)
    ]
    n_held_out = max(1, len(clips) // 10) if len(clips) > 1 else 0  # whole clips
    training = slice(0, len(clips) - n_held_out)
    options: dict[str, Any] = {"batch_size": 256, "max_iter": 200, "tol": 2e-3}
    network: Any = MLPClassifier((n_hidden,), random_state=seed, n_iter_no_change=3, **options)
    # Matrices this small are not worth a second thread.
    with threadpoolctl.threadpool_limits(1):
        network.fit(
            np.concatenate(inputs[training]).astype(np.float32),
            np.concatenate(targets[training]),
        )
    made = PhoneTokenizer(
        cfg, scaling, names, n_context, network.classes_.astype(np.int32),
        tuple(w.astype(np.float32) for w in network.coefs_),
        tuple(b.astype(np.float32) for b in network.intercepts_),
    )  # fmt: skip
    tested = range(len(clips) - n_held_out, len(clips)) if n_held_out else range(len(clips))
    hits = [made.encode(clips[i], sample_rate) == targets[i] for i in tested]
    return made, float(np.concatenate(hits).mean())


def phone_names(alignments: Sequence[Sequence[Phone]]) -> tuple[str, ...]:
    """Every phone that occurs, in alphabetical order."""
    return tuple(sorted({phone.name for phones in alignments for phone in phones}))


def _all_features(clips: Sequence[np.ndarray], sample_rate: int, cfg: FeatureConfig) -> np.ndarray:
    if not clips:
        raise ValueError("there are no clips to train on")
    return np.concatenate([features(clip, sample_rate, cfg) for clip in clips])
