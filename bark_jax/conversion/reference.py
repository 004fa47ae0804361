"""The models in PyTorch, straight from a source's files: what `verify` compares with.

They are those of transformers, because it is maintained, has the codec under a free licence and
installs without tricks; tests/parity shows that its Bark equals the original. The source's names
go through the same table as in a conversion, so `verify` shows that the stored arrays, read back,
compute what the source computes.
"""

from typing import Any

import numpy as np
import torch

from bark_jax.conversion.huggingface import causal_masks
from bark_jax.conversion.huggingface_config import SECTIONS, config_to_json
from bark_jax.conversion.rules import parametrized
from bark_jax.conversion.source import Source
from bark_jax.conversion.tensors import read_params, write_tensors


def reference_model(source: Source, stage: str) -> Any:
    """One stage as a float32 module in evaluation mode.

    Raises:
      ValueError: the source's tensors do not fit; all problems are named.
    """
    params, errors = read_params(source.read(stage), stage, source.config, source.dialect)
    if errors:
        raise ValueError(f"{stage}: {'; '.join(errors)}")
    arrays = {
        parametrized(name): np.array(value, np.float32)
        for name, value in write_tensors(params, stage, source.config, "hf").items()
    }
    model = _empty_model(source, stage)
    model.load_state_dict(
        {
            name: torch.from_numpy(value)
            for name, value in (arrays | causal_masks(stage, source.config)).items()
        }
    )
    return model.eval()


def _empty_model(source: Source, stage: str) -> Any:
    import transformers

    section = dict(config_to_json(source.config)[0][SECTIONS[stage]])
    section.pop("model_type")
    make_config, make_model = {
        "semantic": (transformers.BarkSemanticConfig, transformers.BarkSemanticModel),
        "coarse": (transformers.BarkCoarseConfig, transformers.BarkCoarseModel),
        "fine": (transformers.BarkFineConfig, transformers.BarkFineModel),
        "codec": (transformers.EncodecConfig, transformers.EncodecModel),
    }[stage]
    return make_model(make_config(**section))
