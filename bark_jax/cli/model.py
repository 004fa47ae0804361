"""From the command line's words to a model."""

import argparse
import sys
from typing import TYPE_CHECKING

from bark_jax.cli.arguments import PROG

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from bark_jax.pipeline import Bark
    from bark_jax.sources.description import Description


def find_model(args: argparse.Namespace) -> "Description":
    """Finds the command's model and voice, before seconds are spent on JAX.

    Warns of a model that is untrained and can only give noise.
    """
    import huggingface_hub

    from bark_jax.sources.description import describe

    if not args.debug:
        huggingface_hub.utils.logging.set_verbosity_error()  # or it tells of every retry
    model = describe(
        args.model,
        revision=args.revision,
        local_files_only=args.offline,
        progress=not args.quiet,
    )
    model.voices.resolve(args.voice)
    if model.is_untrained:
        print(f"{PROG}: the weights of this model are untrained: expect noise", file=sys.stderr)
    return model


def load_model(
    args: argparse.Namespace, model: "Description", mesh: "Mesh | None" = None
) -> "Bark":
    """The model of the command, ready to generate."""
    from bark_jax.pipeline import Bark

    return Bark.from_pretrained(
        model,
        dtype=args.dtype,
        weights=args.weights,
        local_files_only=args.offline,
        mesh=mesh,
        offload=args.offload,
        check_hashes=args.check_hashes,
    )


def local_mesh() -> "Mesh | None":
    """A mesh that splits rows over all devices of this process; None if there is only one."""
    import jax

    if jax.local_device_count() == 1:
        return None
    return jax.make_mesh((jax.local_device_count(),), ("data",))
