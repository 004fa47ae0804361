"""What can be measured of a generation, and judges that say which is better."""

from bark_jax.evaluation.judges import JUDGES, Judge, get_judge

__all__ = ["JUDGES", "Judge", "get_judge"]
