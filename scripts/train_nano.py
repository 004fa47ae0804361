"""Trains the model that ships in the package; settings are in configs/nano/train_nano.yaml.

Run: python scripts/train_nano.py out=nano-run
The same command again resumes a run that was interrupted. Needs flite.
"""

from launch import Composed, launch


def main(composed: Composed) -> None:
    from nano.recipe import RecipeSettings, run
    from scripts.compose import from_hydra

    print(f"wrote {run(from_hydra(RecipeSettings, composed))}")


if __name__ == "__main__":
    launch(main, "nano/train_nano", extra="eval,train", resumes=True)
