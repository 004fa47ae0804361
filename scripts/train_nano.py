"""Trains the model that ships in the package; settings are in configs/nano/train_nano.yaml.

Run: python scripts/train_nano.py out=nano-run
The same command again resumes a run that was interrupted. Needs flite.
"""

import sys

import checkout  # noqa: F401  puts it on the path

from bark_jax.programs.launch import Composed, launch


def main(composed: Composed) -> None:
    from bark_jax.programs.compose import from_hydra
    from nano.recipe import RecipeSettings, run

    print(f"wrote {run(from_hydra(RecipeSettings, composed))}")


if __name__ == "__main__":
    launch(main, "nano/train_nano", sys.argv[1:], extra="eval,train", resumes=True)
