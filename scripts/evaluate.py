"""Measures how well a model is understood; settings are in configs/nano/evaluate.yaml.

Run: python scripts/evaluate.py source=nano
"""

import json
import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `nano` is not installed


@hydra.main(version_base="1.3", config_path="../configs/nano", config_name="evaluate")
def main(composed: DictConfig) -> None:
    # Here, because the processes that listen import this file and need none of it.
    from nano.evaluation import EvaluationSettings, evaluate, render
    from scripts.compose import from_hydra

    try:
        settings = from_hydra(EvaluationSettings, composed)
        result = evaluate(settings)
        if settings.out is not None:
            path = Path(settings.out) / "evaluation.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    except (ValueError, OSError, ImportError, RuntimeError, OmegaConfBaseException) as error:
        sys.exit(f"error: {error}")
    print(render(result))
    print(json.dumps({**result, "rows": [_without_words(row) for row in result["rows"]]}))


def _without_words(row: dict) -> dict:
    return {name: value for name, value in row.items() if name != "heard"}


if __name__ == "__main__":
    main()
