"""What preparing data needs from the model that they are for."""

import dataclasses
import hashlib

import numpy as np

from bark_jax.config import STAGES
from bark_jax.data.manifest import TokenSpec
from bark_jax.params import flatten
from bark_jax.pipeline import Bark
from bark_jax.text import piece_ids

HEAD_VALUES = 4096  # of each array, which tell a model from others


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSource:
    """Which model. Data depend on its codec, its text vocabulary and its token layout."""

    source: str  # as in `Bark.from_pretrained`


def text_ids(bark: Bark, text: str) -> np.ndarray:
    """Word pieces (n,) int32 of a text that the model can read in full.

    Raises:
      ValueError: it cannot: too long, empty, or words outside the vocabulary.
    """
    tokenizer, layout = bark.runner.tokenizer, bark.config.tokens
    ids = piece_ids(tokenizer, text, layout)
    if len(ids) > layout.text_length:
        raise ValueError(f"its text has {len(ids)} tokens, the model reads {layout.text_length}")
    if tokenizer.unknown_id in ids:
        words = [word for word in text.split() if tokenizer.unknown_id in tokenizer.encode(word)]
        raise ValueError(f"its text has words outside the model's vocabulary: {words[:5]}")
    return np.array(ids, np.int32)


def token_spec(bark: Bark) -> TokenSpec:
    """What the numbers mean in records made with this model."""
    with bark.runner.params["codec"].on_device() as params:
        return TokenSpec.of(bark.config, bark.runner.tokenizer, params)


def codec_sha256(bark: Bark) -> str:
    """A hash of the codec's parameters that make codes: all but the decoder's."""
    digest = hashlib.sha256()
    with bark.runner.params["codec"].on_device() as params:
        for part in ("encoder", "quantizer"):
            for name, leaf in sorted(flatten(params[part]).items()):
                digest.update(f"{part}.{name}".encode())
                digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def model_sha256(bark: Bark) -> str:
    """A hash of the beginning of every array of a model, enough since training changes them all."""
    digest = hashlib.sha256()
    for stage in STAGES:
        with bark.runner.params[stage].on_device() as params:
            for name, leaf in sorted(flatten(params).items()):
                digest.update(f"{stage}.{name}{leaf.shape}".encode())
                digest.update(np.asarray(leaf.reshape(-1)[:HEAD_VALUES]).tobytes())
    return digest.hexdigest()
