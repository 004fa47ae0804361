"""The commands of `bark_jax.conversion`, from a checkout; not installed."""
