"""`hydra/sweeper=points`: Hydra's product of overrides, checked, resumed and summarised."""

import itertools
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
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
    """The basic sweeper, but it checks all jobs before the first and skips those already done."""

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

        Ends the program with one line and exit code 1 (Hydra would show a traceback): at once for
        a mistake in the sweep, and after all jobs if some have failed.
        """
        assert self.config is not None and self.launcher is not None
        sweep_dir = Path(str(self.config.hydra.sweep.dir))
        jobs = list(self._jobs(arguments))
        try:
            names = self.points.plan([config for _, config in jobs], sweep_dir)
        except (ValueError, OSError, ImportError) as error:
            sys.exit(f"error: {error}")
        OmegaConf.save(self.config, sweep_dir / "multirun.yaml")
        todo = [
            [*overrides, f"hydra.sweep.subdir={quote(name)}"]  # unquoted, 12e345678901 is a number
            for (overrides, _), name in zip(jobs, names, strict=True)
            if name is not None
        ]
        returns: list[Sequence[JobReturn]] = []
        wanted = [name for name in names if name is not None]
        chunks = self.split_overrides_to_chunks(todo, self.max_batch_size) if todo else []
        try:
            with self.points.watching([sweep_dir / name for name in wanted]):
                for chunk in chunks:
                    first = sum(map(len, returns))
                    returns.append(self.launcher.launch(chunk, initial_job_idx=first))
        finally:
            problem = self.points.finish(sweep_dir, wanted)
        if problem:
            sys.exit(f"error: {problem}")
        return returns

    def _jobs(self, arguments: list[str]) -> Iterator[tuple[list[str], DictConfig]]:
        """Overrides and composed config of every job."""
        assert self.hydra_context is not None and self.config is not None
        loader, master = self.hydra_context.config_loader, self.config
        overrides = OverridesParser.create(config_loader=loader).parse_overrides(
            [*self._parse_config(), *arguments]
        )

        for job in self.split_arguments(overrides, None)[0]:
            config = without_hydra(loader.load_sweep_config(master, job))
            lists = {name: OmegaConf.select(config, name) for name in self.each}
            lists = {n: values for n, values in lists.items() if isinstance(values, ListConfig)}
            for values in itertools.product(*lists.values()):
                chosen = dict(zip(lists, values, strict=True))
                one = config.copy()  # composing once more would take longer than all the rest
                for name, value in chosen.items():
                    OmegaConf.update(one, name, escape(value))
                added = [
                    f"{name}={quote(value)}"
                    for name, value in chosen.items()
                    if len(lists[name]) > 1
                ]
                yield [*job, *added], one


def quote(value: Any) -> str:
    """A plain value in the grammar of overrides.

    >>> quote('say "hi"')
    '"say \\\\"hi\\\\""'
    """
    if not isinstance(value, str):
        return "null" if value is None else str(value)
    doubled = re.sub(r'(\\*)("|$)', lambda m: m[1] * 2 + ("\\" if m[2] else "") + m[2], value)
    return f'"{escape(doubled)}"'


def escape(value: Any) -> Any:
    """Text with ${...} escaped, which OmegaConf would take for a reference."""
    return value.replace("${", "\\${") if isinstance(value, str) else value
