"""How sure the model was at every step: the entropy of the distribution that it drew from.

A scoring pass over finished tokens, so that drawing them costs no more: one call of the semantic
model, and one of the coarse model per window. The fine stage draws all frames of a
codebook at once and has no steps.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.config import BarkConfig
from bark_jax.decoding.loop import round_up
from bark_jax.decoding.sampling import Filter, filter_logits
from bark_jax.generation import Generation
from bark_jax.models.binding import bind
from bark_jax.models.gpt import GPT
from bark_jax.params import Params
from bark_jax.pipeline import Bark
from bark_jax.processors.context import DrawContext
from bark_jax.runtime.compiling import jit
from bark_jax.runtime.execution import Execution
from bark_jax.sampling_config import Rows, SamplingConfig
from bark_jax.stages.coarse_plan import flatten, make_plan, segments
from bark_jax.stages.semantic import prompt
from bark_jax.text import piece_ids, prompt_of


def semantic_entropy(bark: Bark, made: Generation, voice: Any = None) -> np.ndarray:
    """Entropy [bit] of each draw (N,) float32, without the draw of the end token.

    Args:
      made: from `bark.generate`, with its text and sampling values.
      voice: the voice that it was made with.
    """
    layout, runner = bark.config.tokens, bark.runner
    found = bark.voices.resolve(voice)
    ids_T = prompt_of(piece_ids(runner.tokenizer, made.text, layout), layout)
    ids_T = prompt(ids_T, found and found.semantic, layout)
    n_steps = len(made.semantic)
    if not n_steps:
        return np.zeros(0, np.float32)
    fed = np.zeros(round_up(n_steps), np.int32)  # few lengths to compile
    fed[: n_steps - 1] = made.semantic[:-1]
    sampling = _sampling(made, "semantic")
    with runner.params["semantic"].on_device() as params:
        bits_T = _score_semantic(
            params,
            jnp.asarray(np.concatenate([ids_T, fed])[None]),
            Filter.of(sampling),
            jnp.bool_(sampling["allow_early_stop"][0]),
            cfg=bark.config,
            execution=runner.execution,
        )
    return np.asarray(bits_T)[:n_steps]


def coarse_entropy(bark: Bark, made: Generation, voice: Any = None) -> np.ndarray:
    """Entropy [bit] of each draw (2 T,) float32, codebooks taking turns."""
    layout = bark.config.tokens
    found = bark.voices.resolve(voice)
    history = found and (found.semantic, found.coarse)
    plan = make_plan(made.semantic, history, layout, layout.max_coarse_history)
    tokens = flatten(made.coarse, layout)
    by = Filter.of(_sampling(made, "coarse"))
    every_1N = np.pad(tokens, (0, -len(tokens) % 1024))[None] if by.steps else None
    bits = [np.zeros(0, np.float32)]
    with bark.runner.params["coarse"].on_device() as params:
        for n_done, n_steps in segments([plan], layout.coarse_window):
            context = plan.context(tokens[:n_done])
            ids = np.concatenate([context, tokens[n_done : n_done + n_steps - 1]])
            padded = np.zeros(min(round_up(len(ids)), bark.config.coarse.block_size), np.int32)
            padded[: len(ids)] = ids
            bits_T = _score_coarse(
                params,
                jnp.asarray(padded[None]),
                by,
                jnp.int32(n_done - len(context) + 1),
                every_1N,
                cfg=bark.config,
                execution=bark.runner.execution,
            )
            bits.append(np.asarray(bits_T)[len(context) - 1 :][:n_steps])
    return np.concatenate(bits)


def _sampling(made: Generation, stage: str) -> Rows:
    """The values that it was made with."""
    return SamplingConfig.of(made.settings["sampling"]).per_row(1)[stage]


def _entropy(logits_TV: jax.Array, by: Filter, context: Callable[[], DrawContext]) -> jax.Array:
    """Entropy [bit] (T,) after filters and temperature; 0 where argmax is taken."""
    T = logits_TV.shape[0]
    by = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (T,)), by)
    logits_TV = filter_logits(logits_TV, by, context)
    is_greedy_T = by.temperature_B == 0
    scaled_TV = logits_TV / jnp.where(is_greedy_T, 1, by.temperature_B)[:, None]
    log_p_TV = jax.nn.log_softmax(scaled_TV)
    terms_TV = jnp.where(jnp.isfinite(log_p_TV), jnp.exp(log_p_TV) * log_p_TV, 0)
    return jnp.where(is_greedy_T, 0, -terms_TV.sum(-1) / np.log(2).astype(np.float32))


def _score_semantic_fn(
    params: Params,
    ids_BT: jax.Array,
    by: Filter,
    may_end: jax.Array,
    *,
    cfg: BarkConfig,
    execution: Execution,
) -> jax.Array:
    model = bind(GPT, cfg.semantic, execution, params=params)
    eos, first = cfg.tokens.semantic_pad_token, cfg.tokens.text_length
    x_BTD = model.embed_merged(ids_BT, cfg.tokens.text_length)[:, : cfg.semantic.block_size]
    out_BTD, _ = model(x_BTD)
    logits_TV = model.logits(out_BTD[0, first:])[:, : eos + 1]
    is_closed_V = ~may_end & (jnp.arange(eos + 1) == eos)
    draw_T = jnp.arange(len(logits_TV))

    def context() -> DrawContext:
        drawn_TN = jnp.broadcast_to(ids_BT[:, -len(draw_T) + 1 :], (len(draw_T), len(draw_T) - 1))
        return DrawContext(draw_T, 0, eos, [(drawn_TN, draw_T)])

    return _entropy(jnp.where(is_closed_V[None], -jnp.inf, logits_TV), by, context)


def _score_coarse_fn(
    params: Params,
    ids_BT: jax.Array,
    by: Filter,
    first_step: jax.Array,
    every_1N: jax.Array | None,
    *,
    cfg: BarkConfig,
    execution: Execution,
) -> jax.Array:
    """Entropy of the draw that follows each position.

    Args:
      first_step: number of the draw that follows the first position; it may be < 0.
      every_1N: ids of all draws of the row; with processors only.
    """
    model = bind(GPT, cfg.coarse, execution, params=params)
    layout = cfg.tokens
    Q, V = layout.n_coarse_codebooks, layout.codebook_size
    out_BTD, _ = model(model.embed(ids_BT))
    first = layout.coarse_offset(0)
    logits_TQV = model.logits(out_BTD[0], first, Q * V).reshape(-1, Q, V)
    step_T = first_step + jnp.arange(ids_BT.shape[1])
    codebook_T = step_T % Q
    logits_TV = jnp.take_along_axis(logits_TQV, codebook_T[:, None, None], axis=1)[:, 0]

    def context() -> DrawContext:
        assert every_1N is not None
        drawn_TN = jnp.broadcast_to(every_1N, (len(step_T), every_1N.shape[1]))
        first_T1 = first + codebook_T[:, None] * V
        return DrawContext(step_T // Q, codebook_T, None, [(drawn_TN, step_T)], first_T1)

    return _entropy(logits_TV, by, context)


_score_semantic = jit(_score_semantic_fn, static_argnames=("cfg",))
_score_coarse = jit(_score_coarse_fn, static_argnames=("cfg",))
