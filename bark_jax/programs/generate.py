"""Generates one audio file and measures it; settings are in configs/generate.yaml.

Run: bark-jax generate 'prompts.text="Hello there."' model.source=suno/bark-small seed=1
"""

import json
import sys
from collections.abc import Sequence

from bark_jax.programs.launch import Composed, launch


def run(composed: Composed) -> None:
    from hydra.core.hydra_config import HydraConfig

    from bark_jax.programs.points import run_point

    print(json.dumps(run_point(composed), indent=2, ensure_ascii=False))
    print(f"wrote {HydraConfig.get().runtime.output_dir}", file=sys.stderr)


def main(argv: Sequence[str]) -> None:
    launch(run, "generate", argv, extra="sweep")
