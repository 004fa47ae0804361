"""All metrics of one generation, as its settings ask for them."""

import math
from typing import Any

import numpy as np

from bark_jax.config import TRANSFORMERS
from bark_jax.evaluation.audio import audio_metrics, speaking_rate
from bark_jax.evaluation.entropy import step_entropy
from bark_jax.evaluation.judges import column_of, get_judge
from bark_jax.evaluation.recognizer import make_recognizer
from bark_jax.evaluation.tokens import token_metrics
from bark_jax.evaluation.wer import normalize, word_errors
from bark_jax.generation import Generation
from bark_jax.pipeline import Bark
from bark_jax.sweeps.settings import PointSettings


def measure(
    bark: Bark, point: PointSettings, made: Generation
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Numbers by name, and arrays with one value per step by name.

    Raises:
      ImportError: a metric's package is missing.
      ValueError: a judge does not know its option.
    """
    wanted = point.metrics
    metrics = audio_metrics(made.audio, made.sample_rate, with_pitch=wanted.f0)
    sounding_s = metrics["duration_s"] - sum(
        metrics[f"{where}_silence_s"] for where in ("leading", "trailing", "inner")
    )
    metrics |= speaking_rate(normalize(made.text), sounding_s)
    metrics |= token_metrics(made)
    metrics["generation_s"] = sum(made.timings.values())
    steps: dict[str, np.ndarray] = {}
    if wanted.entropy:
        steps = step_entropy(bark, made, point.voice)
        metrics |= {
            f"{stage}_entropy_bits": float(bits.mean()) if bits.size else None
            for stage, bits in steps.items()
        }
    if wanted.score:
        means = bark.score(made, voice=point.voice).means()
        metrics |= {f"{stage}_log_p": means.get(stage) for stage in TRANSFORMERS}
    for name in wanted.judges:
        mark = get_judge(name, bark, point.voice)(made)
        metrics[column_of(name)] = mark if math.isfinite(mark) else None
    if wanted.wer is not None:
        heard = make_recognizer(wanted.wer)(made.audio, made.sample_rate)
        errors, words = word_errors(made.text, heard)
        metrics |= {
            "transcript": heard,
            "word_errors": errors,
            "words": words,
            "wer": errors / words if words else None,
        }
    return metrics, steps
