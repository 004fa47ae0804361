"""What the three commands share: one line on stderr and an exit code for a user's mistakes."""

import sys
from collections.abc import Callable

import jax


def run(main: Callable[[], int | None]) -> None:
    """Runs a command on CPU and exits, so that no memory of an accelerator is taken."""
    jax.config.update("jax_platforms", "cpu")
    try:
        sys.exit(main())
    except ImportError as error:
        extra = "parity" if error.name == "transformers" else "convert"
        sys.exit(f'error: {error.name} is not installed: pip install "bark-jax[{extra}]"')
    except (OSError, ValueError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    except KeyboardInterrupt:
        sys.exit(130)
