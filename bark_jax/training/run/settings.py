"""The settings of a training run: the schema of configs/train/finetune.yaml."""

import dataclasses
from typing import Any

from bark_jax.config import STAGES
from bark_jax.tracking import TrackingSettings
from bark_jax.training.run.batches import LoaderSettings
from bark_jax.training.run.mesh import MeshSettings
from bark_jax.training.run.optimizer import OptimizerSettings
from bark_jax.training.run.trainable import LoraSettings

# May change when a run is resumed; a change of anything else makes it another run.
FREE = {
    "steps", "max_minutes", "steps_per_call", "log_every", "eval_every", "save_every", "keep",
    "sample_every", "sample_texts", "sample_voice", "sample_judges", "export", "mesh",
    "loader", "tracking", "distributed", "out", "dry_run",
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistributedSettings:
    """One process of several; without `coordinator` there is one process."""

    coordinator: str | None = None  # host:port of process 0
    n_processes: int | None = None
    process: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """One run of one stage."""

    stage: str  # semantic, coarse, fine, codec
    data: str  # directory of `bark-jax prepare-data` or `distill-data`
    out: str
    # source: the model to start from, as in `Bark.from_pretrained`. Without one, the sizes of a
    # new model and its tokenizer; see new_model.py.
    model: dict[str, Any] = dataclasses.field(default_factory=dict)
    init: dataclasses.InitVar[str | None] = None  # an older name of model["source"]
    fresh: bool = False  # begin the stage at random values, even if the model has it
    seed: int = 0

    steps: int | None = None  # at most
    max_minutes: float | None = None  # at most; the learning rate has fallen by then
    batch_size: int = 16  # records per step, over all devices
    accumulate: int = 1  # micro-batches that a step is split into, to save memory
    steps_per_call: int = 1  # steps that the device runs before the host looks

    optimizer: OptimizerSettings = dataclasses.field(default_factory=OptimizerSettings)
    ema: float = 0.0  # decay of the moving average that is evaluated and exported; 0: none
    freeze: tuple[str, ...] = ()  # patterns of dotted names; "embeddings" is one
    lora: LoraSettings = dataclasses.field(default_factory=LoraSettings)
    dtype: str | None = None  # of matrix products; null: float32 on CPU, else bfloat16
    remat: bool = False  # compute activations twice, to save memory
    task: dict[str, Any] = dataclasses.field(default_factory=dict)  # fields of the stage's task

    log_every: int = 10
    eval_every: int = 100
    eval_batches: int = 8
    save_every: int = 200
    keep: int = 2  # checkpoints, beside the best
    sample_every: int = 0  # 0: none
    sample_texts: tuple[str, ...] = ("Hello, this is a sample.",)
    sample_voice: str | None = None
    sample_judges: tuple[str, ...] = ()  # that mark them, see evaluation/judges.py
    export: str = "last"  # or "best", by eval_loss
    dry_run: bool = False  # only say what the run would take

    mesh: MeshSettings = dataclasses.field(default_factory=MeshSettings)
    loader: LoaderSettings = dataclasses.field(default_factory=LoaderSettings)
    distributed: DistributedSettings = dataclasses.field(default_factory=DistributedSettings)
    tracking: TrackingSettings = dataclasses.field(default_factory=TrackingSettings)

    def __post_init__(self, init: str | None) -> None:
        source = (self.model or {}).get("source") if init is None else init
        object.__setattr__(self, "model", {**(self.model or {}), "source": source})
        if self.stage not in STAGES:
            raise ValueError(f"stage={self.stage!r} is not one of {STAGES}")
        if self.export not in ("last", "best"):
            raise ValueError(f"export={self.export!r} is not 'last' or 'best'")
        if self.steps is None and self.max_minutes is None:
            raise ValueError("give steps or max_minutes, or both: a run must know its end")
        if (self.source is None) == (not self.sizes):
            raise ValueError(
                "give model.source=MODEL to start from a model, or model=tiny for a new one: one "
                f"of both, got model={self.model}"
            )
        least = {"steps": 1, "batch_size": 1, "accumulate": 1, "steps_per_call": 1}
        least |= {"log_every": 1, "eval_every": 1, "eval_batches": 1, "save_every": 1}
        least |= {"keep": 1, "sample_every": 0}
        for name, low in least.items():
            if (value := getattr(self, name)) is not None and value < low:
                raise ValueError(f"{name}={value}, want at least {low}")
        if self.max_minutes is not None and self.max_minutes <= 0:
            raise ValueError(f"max_minutes={self.max_minutes} is not positive")
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size={self.batch_size} is not a multiple of accumulate={self.accumulate}"
            )

    @property
    def source(self) -> str | None:
        """The model to start from; None for a new one."""
        return self.model["source"]

    @property
    def sizes(self) -> dict[str, Any]:
        """The sizes of a new model."""
        return {name: value for name, value in self.model.items() if name != "source"}
