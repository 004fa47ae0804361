"""Scores of greedy tokens, by the packaged model and by random weights at Bark's own layout."""

import numpy as np
import pytest

from bark_jax.config import BarkConfig, CodecConfig, FineGPTConfig, GPTConfig
from bark_jax.pipeline import Bark
from bark_jax.sources.untrained import write_random

GREEDY = {
    "semantic": {"temperature": 0, "max_duration_s": 1.0},
    "coarse": {"temperature": 0},
    "fine": {"temperature": 0},
}
TEXTS = ["hello there", "thank you very much"]
WIDTH = {"n_layer": 1, "n_head": 2, "n_embd": 16}


@pytest.fixture(scope="module")
def thin(tmp_path_factory):
    """Bark's token layout and vocabularies in models that are 16 wide."""
    folder = tmp_path_factory.mktemp("thin") / "model"
    config = BarkConfig(
        semantic=GPTConfig(input_vocab_size=129_600, output_vocab_size=10_048, **WIDTH),
        coarse=GPTConfig(input_vocab_size=12_096, output_vocab_size=12_096, **WIDTH),
        fine=FineGPTConfig(input_vocab_size=1056, output_vocab_size=1056, **WIDTH),
        codec=CodecConfig(n_filters=2, latent_dim=4, n_lstm=1),
    )
    write_random(folder, config)
    return folder


@pytest.mark.parametrize("source", ["nano", "thin"])
def test_greedy_tokens_are_the_likeliest_of_their_scores(source, request):
    """nano draws under its lexicon's phones, which belongs to the values it has drawn with."""
    folder = request.getfixturevalue("thin") if source == "thin" else source
    bark = Bark.from_pretrained(folder, dtype="float32")
    made = bark.generate(TEXTS, seed=[1, 2], sampling=GREEDY)
    for one, row in zip(made, bark.score(made, as_drawn=True, details=["logits"]), strict=True):
        logits = row.details["logits"]
        assert len(one.semantic) > 10 and one.fine.shape[1] > 20
        np.testing.assert_array_equal(logits["semantic"].argmax(-1)[:-1], one.semantic)
        np.testing.assert_array_equal(logits["coarse"].argmax(-1), one.coarse)
        given = len(one.coarse)
        np.testing.assert_array_equal(logits["fine"][given:].argmax(-1), one.fine[given:])
