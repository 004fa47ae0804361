"""The scoring pass beside the loop that it describes: draws of one step, many times over."""

import numpy as np
import pytest

from bark_jax.evaluation.entropy import step_entropy
from bark_jax.generation import Generation
from tests.tiny import LAYOUT, make_bark, make_voice

N_DRAWS = 1024
FORCED = 1e6  # more than any logit: noise that makes a draw come out as it must
TEXT = "hello"


@pytest.fixture(scope="module")
def bark():
    return make_bark()


def generation(bark, voice, sampling) -> Generation:
    """Tokens of the first two stages; the others do not matter here."""
    semantic = bark.semantic(TEXT, voice=voice, seed=5, sampling=sampling)
    coarse = bark.coarse(semantic, voice=voice, seed=5, sampling=sampling)
    off = {"temperature": 0.7, "top_k": None, "top_p": None}
    settings = {
        "semantic": {**off, "allow_early_stop": True, **sampling.get("semantic", {})},
        "coarse": {**off, **sampling.get("coarse", {})},
    }
    return Generation(
        audio=np.zeros(0), sample_rate=1, semantic=semantic, coarse=coarse, fine=coarse,
        text=TEXT, seed=5, finish_reason="eos", timings={}, settings={"sampling": settings},
    )  # fmt: skip


def entropy_of_draws(values: np.ndarray) -> float:
    """Of the distribution that values come from [bit], with Miller and Madow's correction."""
    counts = np.unique(values, return_counts=True)[1]
    shares = counts / counts.sum()
    bias = (len(counts) - 1) / (2 * counts.sum() * np.log(2))
    return float(-(shares * np.log2(shares)).sum() + bias)


@pytest.mark.thorough
@pytest.mark.parametrize("with_voice", [False, True])
def test_entropy_is_that_of_the_draws(bark, with_voice):
    """A step is drawn a thousand times, with noise that forces all draws before it."""
    voice = make_voice() if with_voice else None
    sampling = {
        "semantic": {"temperature": 0.8, "top_k": 12, "allow_early_stop": False,
                     "max_duration_s": 2.0, "min_eos_p": None},
        "coarse": {"temperature": 0.9},
    }  # fmt: skip
    made = generation(bark, voice, sampling)
    rng = np.random.default_rng(0)

    step = 7
    noise = np.zeros((LAYOUT.max_semantic_tokens, LAYOUT.semantic_vocab_size + 1), np.float32)
    noise[np.arange(step), made.semantic[:step]] = FORCED
    bits = step_entropy(bark, made, voice)["semantic"]
    assert bits.shape == made.semantic.shape
    noises = np.repeat(noise[None, : len(made.semantic)], N_DRAWS, axis=0)
    noises[:, step] = rng.gumbel(size=noises[:, step].shape)
    drawn = bark.semantic(
        [TEXT] * N_DRAWS, voice=[voice] * N_DRAWS, sampling=sampling, noise=list(noises)
    )
    # The standard error of the estimate is under sqrt(Var log p / draws) = 1.5 / 32 bit.
    assert bits[step] == pytest.approx(entropy_of_draws(np.array(drawn)[:, step]), abs=0.15)

    flat = made.coarse.T.ravel()
    step = 2 * LAYOUT.coarse_window + 4  # in a later window
    noise = np.zeros((len(flat), LAYOUT.codebook_size), np.float32)
    noise[np.arange(step), flat[:step]] = FORCED
    noises = np.repeat(noise[None], N_DRAWS, axis=0)
    noises[:, step] = rng.gumbel(size=noises[:, step].shape)
    bits = step_entropy(bark, made, voice)["coarse"]
    assert bits.shape == flat.shape
    drawn = bark.coarse(
        [made.semantic] * N_DRAWS, voice=[voice] * N_DRAWS, sampling=sampling, noise=list(noises)
    )
    values = np.array([codes.T.ravel()[step] for codes in drawn])
    assert bits[step] == pytest.approx(entropy_of_draws(values), abs=0.15)


@pytest.mark.parametrize("sampling", [{"temperature": 0}, {"temperature": 1.0, "top_k": 1}])
def test_there_is_no_entropy_without_choice(bark, sampling):
    limited = {**sampling, "max_duration_s": 1.0, "allow_early_stop": False, "min_eos_p": None}
    made = generation(bark, None, {"semantic": limited, "coarse": sampling})
    assert len(made.semantic) > 5
    for bits in step_entropy(bark, made).values():
        np.testing.assert_allclose(bits, 0, atol=1e-6)


def test_nothing_has_no_steps(bark):
    made = generation(bark, None, {"semantic": {"max_duration_s": 1.0}})
    nothing = np.zeros(0, np.int32)
    empty = Generation(**{
        **{f: getattr(made, f) for f in made.__dataclass_fields__},
        "semantic": nothing, "coarse": np.zeros((LAYOUT.n_coarse_codebooks, 0), np.int32),
    })  # fmt: skip
    assert [bits.shape for bits in step_entropy(bark, empty).values()] == [(0,), (0,)]
