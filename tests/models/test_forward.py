"""The plain forward pass: it is what decoding computes, and shows what happens inside by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bark_jax.models.binding import bind
from bark_jax.models.fine_gpt import FineGPT
from bark_jax.models.gpt import GPT
from tests import tiny

CAUSAL, FINE = tiny.CONFIG.semantic, tiny.CONFIG.fine
X_BTD = jnp.asarray(np.random.default_rng(0).normal(size=(2, 7, CAUSAL.n_embd)), jnp.float32)
PLACES = (
    *("attn.q", "attn.k", "attn.v", "attn.mixed", "attn.out"),
    *("mlp.act", "mlp.out", "resid"),
)


def causal(**options):
    @jax.jit
    def run(params, x_BTD):
        model = bind(GPT, CAUSAL, tiny.F32, params=params)
        out_BTD, seen = model(x_BTD, **options)
        return out_BTD, seen, model.ln_f(seen["h.1.resid"]) if "h.1.resid" in seen else None

    return run(tiny.stage_params("semantic"), X_BTD)


def test_it_gives_what_a_prompt_gives():
    out_BTD, seen, _ = causal()

    @jax.jit
    def prefill(params, length_B):
        return bind(GPT, CAUSAL, tiny.F32, params=params).prefill(X_BTD, length_B, 9)

    for length_B in ([7, 7], [3, 7]):
        out_BD, _ = prefill(tiny.stage_params("semantic"), np.array(length_B))
        want_BD = [row_TD[length - 1] for row_TD, length in zip(out_BTD, length_B, strict=True)]
        np.testing.assert_allclose(out_BD, np.stack(want_BD), atol=1e-6)
    assert seen == {}


@pytest.mark.parametrize("remat", [False, True])
def test_every_layer_shows_its_intermediates_by_name(remat):
    plain_BTD, _, _ = causal()
    out_BTD, seen, last_BTD = causal(remat=remat, watch=lambda name, value: value)
    assert set(seen) == {f"h.{i}.{place}" for i in range(CAUSAL.n_layer) for place in PLACES}
    B, T, D = X_BTD.shape
    heads = (B, T, CAUSAL.n_head, CAUSAL.head_dim)
    for name, value in seen.items():
        own = heads if name.endswith(("q", "k", "v", "mixed")) else (B, T, D)
        assert value.shape == ((B, T, 4 * D) if name.endswith("act") else own), name
    np.testing.assert_allclose(out_BTD, plain_BTD, atol=1e-6)
    np.testing.assert_allclose(out_BTD, last_BTD, atol=1e-6)  # normalised, and nothing else
    difference = seen["h.1.resid"] - seen["h.0.resid"]
    added = seen["h.1.attn.out"] + seen["h.1.mlp.out"]
    np.testing.assert_allclose(difference, added, atol=1e-5)  # of sums near 10


def test_only_what_a_watch_keeps_is_kept():
    keep = lambda name, value: value[:, :, 0] if name == "h.1.attn.q" else None  # noqa: E731
    _, seen, _ = causal(remat=True, watch=keep)
    assert {name: value.shape for name, value in seen.items()} == {
        "h.1.attn.q": (2, 7, CAUSAL.head_dim)
    }


def test_gradients_go_through_what_is_seen():
    """As guided attention needs: a loss on queries moves the layers below them, not those above."""

    @jax.jit
    @jax.grad
    def gradients(params):
        model = bind(GPT, CAUSAL, tiny.F32, params=params)
        keep = lambda name, value: value if name == "h.1.attn.q" else None  # noqa: E731
        _, seen = model(X_BTD, remat=True, watch=keep)
        return jnp.square(seen["h.1.attn.q"]).sum()

    found = gradients(tiny.stage_params("semantic"))
    assert np.any(found["h"]["0"]["mlp"]["c_fc"]["weight"])
    assert not np.any(found["h"]["1"]["mlp"]["c_fc"]["weight"])


def test_the_fine_model_shows_the_same_names():
    def made():
        model = bind(FineGPT, FINE, tiny.F32, params=tiny.stage_params("fine"))
        codes_BTQ = jnp.zeros((1, 5, FINE.n_codes_total), jnp.int32)
        return model(codes_BTQ, jnp.int32(1), watch=lambda name, value: value)

    _, seen = jax.eval_shape(made)
    assert set(seen) == {f"h.0.{place}" for place in PLACES}
