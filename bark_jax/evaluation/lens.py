"""What the model would draw if it ended after an earlier layer: the logit lens.

Source: nostalgebraist, interpreting GPT: the logit lens (2020).
"""

import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.config import BarkConfig
from bark_jax.hooks.trace import Trace
from bark_jax.models.binding import bind
from bark_jax.models.fine_gpt import FineGPT
from bark_jax.models.gpt import GPT
from bark_jax.params import Params
from bark_jax.pipeline import Bark
from bark_jax.runtime.compiling import jit
from bark_jax.runtime.execution import Execution
from bark_jax.runtime.sharding import fetch


def logit_lens(bark: Bark, trace: Trace, stage: str) -> np.ndarray:
    """Logits from every layer's output, as if the head read it.

    Args:
      trace: of one row, with `{stage}.h.*.resid`.
      stage: "semantic", "coarse" or "fine".
    Returns:
      Float32 with the axes of the trace but the last: (layers, N + 1, V) of the semantic tokens and
      the end token, (layers, 2 T, V) of the codes of each draw's codebook, or (layers, 8, T, V).
      Those of the last layer are `bark.score(…, details=["logits"])`.
    Raises:
      ValueError: no such stage.
      KeyError: the trace lacks a layer.
    """
    lenses = {"semantic": _semantic, "coarse": _coarse, "fine": _fine}
    if stage not in lenses:
        raise ValueError(f"stage={stage!r} is not one of {tuple(lenses)}")
    names = [f"{stage}.h.{i}.resid" for i in range(getattr(bark.config, stage).n_layer)]
    resid = np.stack([trace[name] for name in names])
    execution = bark.runner.execution_of(stage)
    with bark.runner.on_device(stage) as params:
        return fetch(lenses[stage](params, resid, cfg=bark.config, execution=execution))


def _semantic_fn(
    params: Params, resid_LTD: jax.Array, *, cfg: BarkConfig, execution: Execution
) -> jax.Array:
    model = bind(GPT, cfg.semantic, execution, params=params)
    return model.logits(model.ln_f(resid_LTD))[..., : cfg.tokens.semantic_pad_token + 1]


def _coarse_fn(
    params: Params, resid_LTD: jax.Array, *, cfg: BarkConfig, execution: Execution
) -> jax.Array:
    model = bind(GPT, cfg.coarse, execution, params=params)
    layout = cfg.tokens
    Q, V = layout.n_coarse_codebooks, layout.codebook_size
    logits = model.logits(model.ln_f(resid_LTD), layout.coarse_offset(0), Q * V)
    L, T = resid_LTD.shape[:2]
    codebook_T = jnp.arange(T) % Q
    logits_LTQV = logits.reshape(L, T, Q, V)
    return jnp.take_along_axis(logits_LTQV, codebook_T[None, :, None, None], axis=2)[:, :, 0]


def _fine_fn(
    params: Params, resid_LQTD: jax.Array, *, cfg: BarkConfig, execution: Execution
) -> jax.Array:
    model = bind(FineGPT, cfg.fine, execution, params=params)
    out_LQTD = model.ln_f(resid_LQTD)
    made = [
        model.logits(out_LQTD[:, q], jnp.int32(q), cfg.tokens.codebook_size)
        for q in range(out_LQTD.shape[1])
    ]
    return jnp.stack(made, axis=1)


_semantic = jit(_semantic_fn, static_argnames=("cfg",))
_coarse = jit(_coarse_fn, static_argnames=("cfg",))
_fine = jit(_fine_fn, static_argnames=("cfg",))
