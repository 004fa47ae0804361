"""The commands beside speaking: what each does, and where it is."""

import dataclasses
import importlib
from collections.abc import Callable, Sequence

from bark_jax.programs.errors import not_installed


@dataclasses.dataclass(frozen=True)
class Subcommand:
    """`bark-jax NAME …`."""

    does: str
    home: str  # module:function below bark_jax, imported only when it runs
    extra: str | None  # of this package, that brings what it imports

    def run(self, argv: Sequence[str]) -> int | None:
        """Runs it with the rest of the command line; returns its exit code.

        Raises:
          ImportError: a package is missing; says how to install it.
        """
        module, _, name = self.home.partition(":")
        try:
            main: Callable[[Sequence[str]], int | None] = getattr(
                importlib.import_module(f"bark_jax.{module}"), name
            )
            return main(argv)
        except ModuleNotFoundError as error:
            if self.extra and (line := not_installed(error, self.extra)):
                raise ImportError(line) from error
            raise


# fmt: off
SUBCOMMANDS = {
    "doctor": Subcommand(
        "devices, versions, caches, models, voices", "cli.doctor:main", None),
    "info": Subcommand(
        "what an audio file says of how it was made, or a model of itself", "cli.info:main", None),
    "repeat": Subcommand(
        "an audio file once more, from what it says", "cli.repeat:main", None),
    "convert": Subcommand(
        "Suno's or Hugging Face's files to a model", "cli.conversion:convert", "convert"),
    "verify": Subcommand(
        "a converted model beside PyTorch's", "cli.conversion:verify", "verify"),
    "export": Subcommand(
        "a model to Suno's or Hugging Face's files", "cli.conversion:export", "convert"),
    "quantize": Subcommand(
        "a model with weights in fewer bytes", "cli.conversion:quantize", None),
    "generate": Subcommand(
        "one text: audio, tokens and measurements", "programs.generate:main", "sweep"),
    "sweep": Subcommand(
        "every point of a product of settings", "programs.sweep:main", "sweep"),
    "report": Subcommand(
        "a page of a sweep's results", "cli.report:main", "sweep"),
    "prepare-data": Subcommand(
        "recordings to training data", "programs.prepare_data:main", "train"),
    "distill-data": Subcommand(
        "a model's own speech to training data", "programs.distill_data:main", "train"),
    "train-semantic-tokenizer": Subcommand(
        "recordings to a tokenizer of sound", "programs.train_semantic_tokenizer:main", "train"),
    "finetune": Subcommand(
        "one stage trained", "programs.finetune:main", "train"),
    "plot-training": Subcommand(
        "losses of training runs", "programs.plot_training:main", "train"),
}
# fmt: on
