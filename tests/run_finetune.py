"""Run by test_finetune.py in a process of its own: python -m tests.run_finetune SETTINGS.yaml

With PROCESS, N_PROCESSES and PORT in the environment it is one of several.
"""

import os
import resource
import sys
from pathlib import Path

import yaml

from bark_jax.config import from_dict
from bark_jax.training.run.finetune import finetune
from bark_jax.training.run.settings import FinetuneSettings


def main(path: str) -> None:
    if limit := os.environ.get("TEST_FILE_LIMIT"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    settings = from_dict(FinetuneSettings, yaml.safe_load(Path(path).read_text()))
    try:
        outcome = finetune(settings)
    except OSError as error:
        sys.exit(f"error: {error}")
    print(outcome.reason, outcome.step)


if __name__ == "__main__":
    main(sys.argv[1])
