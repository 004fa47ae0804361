"""Generates one audio file and measures it; settings are in configs/generate.yaml.

Run: python scripts/generate.py 'prompts.text="Hello there."' model.source=suno/bark-small seed=1
"""

import json
import sys

from launch import Composed, launch


def main(composed: Composed) -> None:
    from hydra.core.hydra_config import HydraConfig

    from scripts.points import run_point

    print(json.dumps(run_point(composed), indent=2, ensure_ascii=False))
    print(f"wrote {HydraConfig.get().runtime.output_dir}", file=sys.stderr)


if __name__ == "__main__":
    launch(main, "generate", extra="sweep")
