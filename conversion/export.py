"""`bark-jax export`, from a checkout: python -m conversion.export …"""

import sys

from bark_jax.cli import main
from bark_jax.conversion.export import export

__all__ = ["export"]  # was imported from here before

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))
