"""Measures how well a model is understood; settings are in configs/nano/evaluate.yaml.

Run: python scripts/evaluate.py model.source=nano
"""

import json
import sys
from pathlib import Path

import checkout  # noqa: F401  puts it on the path

from bark_jax.programs.launch import Composed, launch


def main(composed: Composed) -> None:
    # Imported here because the recogniser's processes import this file and need none of it.
    from bark_jax.programs.compose import from_hydra
    from nano.evaluation import EvaluationSettings, evaluate, render

    settings = from_hydra(EvaluationSettings, composed)
    result = evaluate(settings)
    if settings.out is not None:
        path = Path(settings.out) / "evaluation.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(render(result))
    print(json.dumps({**result, "rows": [_without_words(row) for row in result["rows"]]}))


def _without_words(row: dict) -> dict:
    return {name: value for name, value in row.items() if name != "heard"}


if __name__ == "__main__":
    launch(main, "nano/evaluate", sys.argv[1:], extra="eval,train")
