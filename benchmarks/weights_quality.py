"""What fewer bytes per weight change: distributions and greedy tokens, beside float32.

Run: python -m benchmarks.weights_quality nano
     python -m benchmarks.weights_quality MODEL --texts FILE --rows 4 --seconds 2

float32 speaks texts greedily; every format then reads the same tokens (teacher-forced). Of each
stage: the mean Kullback-Leibler divergence [nat] from float32's distribution, the greatest
difference of a probability, and how many tokens are the likeliest in both. Prints a table and JSON.
Scoring reads whole sequences, for which some processors round activations to int8 as well; decode
steps do not, but read keys and values from a cache: the rows "decode steps".
"""

import argparse
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bark_jax import Bark
from bark_jax.config import TRANSFORMERS
from bark_jax.formulations.cpu_kernels import CpuKernels
from benchmarks.settings import ROOT

FORMATS = ("int8", "bfloat16")
GREEDY = {stage: {"temperature": 0.0} for stage in TRANSFORMERS}


@dataclasses.dataclass(frozen=True)
class Steps(CpuKernels):
    """What decode steps compute, of a whole sequence: keys and values as the cache keeps them."""

    cache: str = "float32"

    def attend_sequence(
        self, q_BTHK: jax.Array, k_BTHK: jax.Array, v_BTHK: jax.Array, is_causal: bool, dtype: str
    ) -> jax.Array:
        if is_causal:
            k_BTHK, v_BTHK = (z.astype(self.cache).astype(dtype) for z in (k_BTHK, v_BTHK))
        return super().attend_sequence(q_BTHK, k_BTHK, v_BTHK, is_causal, dtype)


def compare(want_TV: np.ndarray, got_TV: np.ndarray) -> dict[str, float]:
    """Of logits (…, V) beside float32's."""
    want, got = (_log_softmax(z.reshape(-1, z.shape[-1])) for z in (want_TV, got_TV))
    is_open = np.isfinite(want)
    terms = np.where(is_open, np.exp(want) * (np.where(is_open, want - got, 0)), 0)
    return {
        "kl": float(terms.sum(-1).mean()),
        "p_difference": float(np.abs(np.exp(want) - np.exp(got)).max()),
        "equal": float((want.argmax(-1) == got.argmax(-1)).mean()),
    }


def measure(model: str, texts: Sequence[str], seconds: float | None) -> Iterator[dict[str, Any]]:
    """One row per format and stage."""
    plain = Bark.from_pretrained(model, dtype="float32")
    sampling = {**GREEDY, "semantic": {"temperature": 0.0, "max_duration_s": seconds}}
    made = plain.generate(list(texts), seed=0, sampling=sampling, progress=True)
    want = plain.score(made, sampling=sampling, details=["logits"])
    for format in FORMATS:
        bark = Bark.from_pretrained(model, dtype="float32", weights=format)
        stepwise = dataclasses.replace(
            bark.runner.execution,
            formulation=Steps(cache=bark.runner.execution_of("coarse").dtypes.cache),
        )
        for name, runner in {
            format: bark.runner,
            f"{format}, decode steps": dataclasses.replace(bark.runner, execution=stepwise),
        }.items():
            got = Bark(runner, bark.voices).score(made, sampling=sampling, details=["logits"])
            for stage in TRANSFORMERS:
                rows = [
                    compare(_logits(a, stage), _logits(b, stage))
                    for a, b in zip(want, got, strict=True)
                ]
                means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
                most = max(row["p_difference"] for row in rows)
                yield {"weights": name, "stage": stage} | means | {"p_difference": most}


def _logits(scores: Any, stage: str) -> np.ndarray:
    logits = np.asarray(scores.details["logits"][stage], np.float64)
    return logits[~np.isnan(logits).any(-1)]  # not the codebooks that the fine stage is given


def _log_softmax(logits_TV: np.ndarray) -> np.ndarray:
    shifted = logits_TV - logits_TV.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def main() -> None:
    parser = argparse.ArgumentParser(description="What fewer bytes change.")
    parser.add_argument("model")
    parser.add_argument("--texts", type=Path, default=ROOT / "nano" / "unseen.txt")
    parser.add_argument("--rows", type=int, default=20)
    parser.add_argument("--seconds", type=float, help="at most, of each text")
    args = parser.parse_args()
    texts = args.texts.read_text(encoding="utf-8").splitlines()[: args.rows]
    rows = list(measure(args.model, texts, args.seconds))
    for row in rows:
        print(
            f"{row['weights']:24} {row['stage']:9} KL {row['kl']:.2e}  greatest difference "
            f"{row['p_difference']:.3f}  same likeliest {100 * row['equal']:.1f} %"
        )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
