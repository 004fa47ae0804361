import sys

from bark_jax.cli.command import main

sys.exit(main())
