"""How good speech sounds, by DNSMOS: a network that was trained on listeners' opinions.

Source: Reddy et al., 2022, "DNSMOS P.835". The package `speechmos` brings its weights.
"""

from typing import Any

import numpy as np

from bark_jax.sound import resampled

RATE_HZ = 16_000
PARTS = {"overall": "ovrl_mos", "signal": "sig_mos", "background": "bak_mos", "p808": "p808_mos"}


def opinion(audio: np.ndarray, sample_rate: int) -> dict[str, float]:
    """Predicted mean opinion scores by the names of `PARTS`, 1 (bad) to 5; NaN for silence.

    The network hears nine seconds; what is shorter is repeated until it fills them.

    Args:
      audio: (S,) float, in -1 … 1; clipped beyond.
      sample_rate: of the audio [Hz].
    """
    samples = resampled(audio, sample_rate, RATE_HZ).clip(-1, 1)
    if not samples.any():
        return dict.fromkeys(PARTS, float("nan"))
    from speechmos import dnsmos

    found: Any = dnsmos.run(samples, RATE_HZ)  # of a list it would be a table
    return {part: float(found[name]) for part, name in PARTS.items()}
