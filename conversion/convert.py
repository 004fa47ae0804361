"""`bark-jax convert`, from a checkout: python -m conversion.convert …"""

import sys

from bark_jax.cli import main
from bark_jax.conversion.convert import convert

__all__ = ["convert"]  # was imported from here before

if __name__ == "__main__":
    sys.exit(main(["convert", *sys.argv[1:]]))
