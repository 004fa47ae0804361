"""A plot of the losses of runs, from their `metrics.jsonl`."""

import dataclasses
from pathlib import Path

from bark_jax.runtime.lines import read_rows
from bark_jax.training.run.directory import METRICS_FILE


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurveSettings:
    """Which runs, and where the plot goes."""

    runs: dict[str, str]  # name -> directory of the run
    out: str = "loss.png"


def draw(settings: CurveSettings) -> Path:
    """Draws the training loss of each run as a line and its eval_loss as points.

    Raises:
      FileNotFoundError: a run has no rows.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    n_runs = max(1, len(settings.runs))
    figure, axes = pyplot.subplots(1, n_runs, figsize=(5 * n_runs, 3.2), squeeze=False)
    for axis, (name, directory) in zip(axes[0], settings.runs.items(), strict=False):
        rows = read_rows(Path(directory).expanduser() / METRICS_FILE)
        if not rows:
            raise FileNotFoundError(f"{directory} has no rows in {METRICS_FILE}")
        trained = [row for row in rows if row.get("loss") is not None]
        rated = [row for row in rows if row.get("eval_loss") is not None]
        minutes = lambda each: [row["elapsed_s"] / 60 for row in each]  # noqa: E731
        axis.plot(minutes(trained), [row["loss"] for row in trained], label="training")
        axis.plot(minutes(rated), [row["eval_loss"] for row in rated], "o", ms=3, label="eval")
        axis.set(title=name, xlabel="minutes", ylabel="loss", yscale="log")
        axis.legend()
    figure.tight_layout()
    out = Path(settings.out).expanduser()
    figure.savefig(out, dpi=100)
    pyplot.close(figure)
    return out
