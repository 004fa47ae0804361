"""Measures bark_jax beside its peers: python scripts/benchmark.py. See docs/performance-log.md."""
