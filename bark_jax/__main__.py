import sys

from bark_jax.cli import main

sys.exit(main())
