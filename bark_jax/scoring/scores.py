"""The result of one row of `Bark.score`."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """How likely tokens are, natural logarithms; None for a stage that was not scored."""

    semantic: np.ndarray | None  # (N + 1,) float32, the end token included
    coarse: np.ndarray | None  # (2, T) float32
    fine: np.ndarray | None  # (8, T) float32, NaN in the codebooks that the stage is given
    details: dict[str, dict[str, np.ndarray]]  # what was asked for, by its name and by stage

    @property
    def total(self) -> float:
        """Log-probability of everything that was scored."""
        stages = (self.semantic, self.coarse, self.fine)
        return float(sum(np.nansum(s, dtype=np.float64) for s in stages if s is not None))

    def means(self) -> dict[str, float | None]:
        """Mean log-probability of a token of each stage; None where none was scored."""
        stages = {"semantic": self.semantic, "coarse": self.coarse, "fine": self.fine}
        return {
            stage: float(np.nanmean(scores, dtype=np.float64))
            for stage, scores in stages.items()
            if scores is not None and not np.isnan(scores).all()
        }
