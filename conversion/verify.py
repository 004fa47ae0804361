"""`bark-jax verify`, from a checkout: python -m conversion.verify …"""

import sys

from bark_jax.cli import main
from bark_jax.conversion.verify import verify

__all__ = ["verify"]  # was imported from here before

if __name__ == "__main__":
    sys.exit(main(["verify", *sys.argv[1:]]))
