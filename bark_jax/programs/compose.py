"""The only file that knows Hydra's types: a composed config becomes a frozen dataclass."""

from typing import Any, TypeVar

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from bark_jax.config import from_dict

T = TypeVar("T")

# The first of every config's defaults: Hydra logs nothing and writes no files.
QUIET = {
    "defaults": [{"override hydra/job_logging": "none"}, {"override hydra/hydra_logging": "none"}],
    "hydra": {"run": {"dir": "."}, "output_subdir": None},
}
ConfigStore.instance().store(name="quiet", node=QUIET, package="_global_", provider="bark_jax")


def from_hydra(make: type[T], composed: DictConfig) -> T:
    """An instance of the dataclass `make`, which is the schema of the YAML file.

    Raises:
      ValueError: a value is missing, unknown to `make` or of the wrong type; names it.
    """
    data: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    try:
        config = from_dict(make, data)
        OmegaConf.structured(config)  # checks the types
    except TypeError as error:
        raise ValueError(str(error)) from error
    return config
