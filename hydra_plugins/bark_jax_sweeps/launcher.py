"""`hydra/launcher=vectorized`: the jobs of a multirun as rows of device batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, configure_log, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from hydra_plugins.bark_jax_sweeps.protocol import points_of, without_hydra


@dataclass
class VectorizedLauncherConf:
    """Fields of `hydra.launcher`."""

    _target_: str = "hydra_plugins.bark_jax_sweeps.launcher.VectorizedLauncher"
    batch_rows: int | None = None  # jobs that run at a time; null: what suits the device


ConfigStore.instance().store(
    group="hydra/launcher", name="vectorized", node=VectorizedLauncherConf, provider="bark_jax"
)


class VectorizedLauncher(Launcher):
    """Hands all jobs to the task function at once; each still has its own output folder."""

    def __init__(self, batch_rows: int | None) -> None:
        self.batch_rows = batch_rows

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.context, self.config = hydra_context, config
        self.points = points_of(task_function, "hydra/launcher=vectorized")

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        configs = [
            self._compose(overrides, initial_job_idx + offset)
            for offset, overrides in enumerate(job_overrides)
        ]
        returns: dict[int, JobReturn] = {}
        tasks = self.points.batched([without_hydra(each) for each in configs], self.batch_rows)
        for index, task in tasks:
            returns[index] = run_job(
                hydra_context=self.context,
                task_function=task,
                config=configs[index],
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
            configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        return [returns[index] for index in range(len(configs))]

    def _compose(self, overrides: Sequence[str], number: int) -> DictConfig:
        config = self.context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = number
            config.hydra.job.num = number
        return config
