"""`hydra/sweeper=points`: Hydra's own product of overrides, checked, resumed and summed up."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, ListConfig, OmegaConf

from hydra_plugins.bark_jax_sweeps.protocol import points_of, without_hydra


@dataclass
class PointsSweeperConf:
    """Fields of `hydra.sweeper`."""

    _target_: str = "hydra_plugins.bark_jax_sweeps.sweeper.PointsSweeper"
    max_batch_size: int | None = None  # jobs per launch
    params: dict[str, str] | None = None  # overrides to sweep over; the command line's win
    each: list[str] = field(default_factory=list)  # lists in the config to sweep over as well


ConfigStore.instance().store(
    group="hydra/sweeper", name="points", node=PointsSweeperConf, provider="bark_jax"
)


class PointsSweeper(BasicSweeper):
    """The basic sweeper with everything checked before the first job, and without what is done."""

    def __init__(
        self,
        max_batch_size: int | None,
        params: dict[str, str] | None = None,
        each: Sequence[str] = (),
    ) -> None:
        super().__init__(max_batch_size, params)
        self.each = list(each)

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.points = points_of(task_function, "hydra/sweeper=points")
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Runs every job that is not done.

        Raises:
          HydraException: a mistake, found before anything has run; or jobs that have failed.
        """
        assert self.config is not None and self.launcher is not None
        sweep_dir = Path(str(self.config.hydra.sweep.dir))
        jobs = list(self._jobs(arguments))
        try:
            names = self.points.plan([config for _, config in jobs], sweep_dir)
        except (ValueError, OSError, ImportError) as error:
            raise HydraException(f"error: {error}") from error
        OmegaConf.save(self.config, sweep_dir / "multirun.yaml")
        todo = [
            [*overrides, f"hydra.sweep.subdir={name}"]
            for (overrides, _), name in zip(jobs, names, strict=True)
            if name is not None
        ]
        returns: list[Sequence[JobReturn]] = []
        wanted = [name for name in names if name is not None]
        try:
            with self.points.watching([sweep_dir / name for name in wanted]):
                for chunk in self.split_overrides_to_chunks(todo, self.max_batch_size or -1):
                    first = sum(map(len, returns))
                    returns.append(self.launcher.launch(chunk, initial_job_idx=first))
        finally:
            problem = self.points.finish(sweep_dir, wanted)
        if problem:
            raise HydraException(f"error: {problem}")
        return returns

    def _jobs(self, arguments: list[str]) -> Iterator[tuple[list[str], DictConfig]]:
        """Overrides and composed config of every job."""
        assert self.hydra_context is not None and self.config is not None
        loader, master = self.hydra_context.config_loader, self.config
        overrides = OverridesParser.create(config_loader=loader).parse_overrides(
            [*self._parse_config(), *arguments]
        )

        def compose(job: list[str]) -> DictConfig:
            return loader.load_sweep_config(master, job)

        for job in self.split_arguments(overrides, None)[0]:
            config = compose(job)
            lists = [f"{name}={{}}" for name in self.each if self._is_list(config, name)]
            if not lists:
                yield job, without_hydra(config)
                continue
            columns = [OmegaConf.select(config, each.removesuffix("={}")) for each in lists]
            for values in itertools.product(*columns):
                added = [text.format(quote(v)) for text, v in zip(lists, values, strict=True)]
                yield [*job, *added], without_hydra(compose([*job, *added]))

    @staticmethod
    def _is_list(config: DictConfig, name: str) -> bool:
        return isinstance(OmegaConf.select(config, name), ListConfig)


def quote(value: Any) -> str:
    """A plain value in the grammar of overrides.

    >>> quote('say "hi"')
    '"say \\\\"hi\\\\""'
    """
    if not isinstance(value, str):
        return "null" if value is None else str(value)
    doubled = re.sub(r'(\\*)("|$)', lambda m: m[1] * 2 + ("\\" if m[2] else "") + m[2], value)
    return f'"{doubled}"'.replace("${", "\\${")
