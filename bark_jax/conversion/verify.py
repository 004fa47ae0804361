"""Compares a converted model with the PyTorch models of its source, stage by stage."""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch

from bark_jax import checkpoint
from bark_jax.config import STAGES, FineGPTConfig, GPTConfig
from bark_jax.conversion.convert import open_source
from bark_jax.conversion.reference import reference_model
from bark_jax.conversion.source import Source
from bark_jax.models import encodec
from bark_jax.models.binding import bind
from bark_jax.models.fine_gpt import FineGPT
from bark_jax.models.gpt import GPT, Cache
from bark_jax.params import Params
from bark_jax.runtime.execution import Execution

N_POSITIONS = 64  # of the random input
N_STEPS = 16  # of the greedy run
N_FRAMES = 50  # of the audio that is decoded
LOGIT_TOLERANCE = 2e-5  # times the logits' standard deviation, if that is over 1
AUDIO_TOLERANCE = 1e-5
CPU = Execution.on("cpu")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Result of one stage: the error of its logits or audio, and how many tokens are equal."""

    stage: str
    error: float  # largest absolute difference
    tolerance: float
    forced: float  # share of equal tokens, each after the reference's own (codec: of the encoder)
    greedy: tuple[int, int] | None  # (tokens before the first that differs, all tokens)

    @property
    def is_equal(self) -> bool:
        has_equal_run = self.greedy is None or self.greedy[0] == self.greedy[1]
        return self.error <= self.tolerance and self.forced == 1 and has_equal_run


def verify(
    source: str | Path, model: str | Path, *, size: str | None = None, seed: int = 0
) -> list[Comparison]:
    """Runs every stage of both on the same random input, on CPU in float32.

    Args:
      source: the folder that `model` was converted from.
      size: as for `convert`.
      seed: of the input.
    Raises:
      ValueError: the two have different sizes, or one is damaged.
    """
    opened = open_source(Path(source), size)
    if checkpoint.load_config(model) != opened.config:
        raise ValueError(f"{model} was not converted from {source}: their sizes differ")
    compare = {"fine": _compare_fine, "codec": _compare_codec}
    comparisons: list[Comparison] = []
    with torch.no_grad():
        for stage in STAGES:
            params = checkpoint.load_stage(model, stage, "float32")
            rng = np.random.default_rng(seed)
            comparisons.append(compare.get(stage, _compare_causal)(stage, opened, params, rng))
    return comparisons


def _compare_causal(
    stage: str, source: Source, params: Params, rng: np.random.Generator
) -> Comparison:
    cfg: GPTConfig = getattr(source.config, stage)
    reference = reference_model(source, stage)
    ids_BT = rng.integers(0, cfg.input_vocab_size, (1, min(N_POSITIONS, cfg.block_size - N_STEPS)))

    def score(ids_BT: np.ndarray) -> np.ndarray:
        return reference(input_ids=torch.from_numpy(ids_BT), use_cache=False).logits.numpy()

    theirs = ids_BT
    for _ in range(N_STEPS):
        theirs = np.concatenate([theirs, score(theirs)[:, -1:].argmax(-1)], axis=1)
    ours = np.asarray(_greedy(params, ids_BT, cfg=cfg))
    return _compare_tokens(
        stage,
        np.asarray(_causal_logits(params, theirs, cfg=cfg)),
        score(theirs),
        ours,
        theirs[0, -N_STEPS:],
    )


@functools.partial(jax.jit, static_argnames="cfg")
def _causal_logits(params: Params, ids_BT: jax.Array, *, cfg: GPTConfig) -> jax.Array:
    gpt = bind(GPT, cfg, CPU, params=params)
    out_BTD, _ = gpt(gpt.embed(ids_BT))
    return gpt.logits(out_BTD)


@functools.partial(jax.jit, static_argnames="cfg")
def _greedy(params: Params, ids_BT: jax.Array, *, cfg: GPTConfig) -> jax.Array:
    """N_STEPS greedy tokens (T,) after one prompt, with the KV cache."""
    gpt = bind(GPT, cfg, CPU, params=params)
    n_slots = ids_BT.shape[1] + N_STEPS
    n_prompt = jnp.full(1, ids_BT.shape[1])
    x_BD, cache = gpt.prefill(gpt.embed(ids_BT), n_prompt, n_slots)

    def step(carry: tuple[jax.Array, Cache], position: jax.Array):
        x_BD, cache = carry
        token_B = gpt.logits(x_BD).argmax(-1)
        visible_BM = jnp.arange(n_slots)[None] < position
        return gpt.step(token_B, position[None], cache, visible_BM, position), token_B

    positions = jnp.arange(ids_BT.shape[1], n_slots)
    return jax.lax.scan(step, (x_BD, cache), positions)[1][:, 0]


def _compare_fine(
    stage: str, source: Source, params: Params, rng: np.random.Generator
) -> Comparison:
    """Every codebook in turn, from random given ones; the greedy run continues from its own."""
    cfg = source.config.fine
    reference = reference_model(source, stage)
    n_frames = min(N_POSITIONS, cfg.block_size)
    layout = source.config.tokens
    begin = np.full((1, n_frames, cfg.n_codes_total), layout.fine_pad_token)
    begin[..., : cfg.n_codes_given] = rng.integers(
        0, layout.codebook_size, (1, n_frames, cfg.n_codes_given)
    )
    theirs, ours = begin.copy(), begin.copy()
    our_logits, their_logits = [], []
    for codebook in range(cfg.n_codes_given, cfg.n_codes_total):
        their_logits.append(reference(codebook, torch.from_numpy(theirs)).logits.numpy())
        our_logits.append(_fine_logits(params, theirs, codebook, cfg=cfg))
        own_logits = np.asarray(_fine_logits(params, ours, codebook, cfg=cfg))
        theirs[..., codebook] = their_logits[-1][..., : layout.codebook_size].argmax(-1)
        ours[..., codebook] = own_logits[..., : layout.codebook_size].argmax(-1)
    predicted = np.s_[0, :, cfg.n_codes_given :]
    return _compare_tokens(
        stage,
        np.stack(our_logits),
        np.stack(their_logits),
        ours[predicted].T.ravel(),
        theirs[predicted].T.ravel(),
    )


@functools.partial(jax.jit, static_argnames="cfg")
def _fine_logits(
    params: Params, codes_BTQ: jax.Array, codebook: jax.Array, *, cfg: FineGPTConfig
) -> jax.Array:
    fine = bind(FineGPT, cfg, CPU, params=params)
    out_BTD, _ = fine(codes_BTQ, codebook)
    return fine.logits(out_BTD, codebook, cfg.output_vocab_size)


def _compare_codec(
    stage: str, source: Source, params: Params, rng: np.random.Generator
) -> Comparison:
    """Random codes to audio, and the reference's audio to codes."""
    cfg = source.config.codec
    reference = reference_model(source, stage)
    n_codebooks = source.config.tokens.n_fine_codebooks
    codes_BQT = rng.integers(0, cfg.codebook_size, (1, n_codebooks, N_FRAMES))
    audio = reference.decode(torch.from_numpy(codes_BQT)[None], [None]).audio_values
    latents = reference.encoder(audio)
    theirs = torch.stack(reference.quantizer.encode(latents).unbind()[:n_codebooks], dim=1).numpy()
    encode = jax.jit(encodec.encode, static_argnames=("cfg", "n_codebooks"))
    decode = jax.jit(encodec.decode, static_argnames=("cfg",))
    ours = encode(params, jnp.array(audio[0]), cfg=cfg, n_codebooks=n_codebooks)
    difference = np.asarray(decode(params, codes_BQT, cfg=cfg)) - audio[0].numpy()
    return Comparison(
        stage,
        error=float(abs(difference).max()),
        tolerance=AUDIO_TOLERANCE,
        forced=float((np.asarray(ours) == theirs).mean()),
        greedy=None,
    )


def _compare_tokens(
    stage: str,
    our_logits: np.ndarray,
    their_logits: np.ndarray,
    ours: np.ndarray,
    theirs: np.ndarray,
) -> Comparison:
    equal = ours == theirs
    return Comparison(
        stage,
        error=float(abs(our_logits - their_logits).max()),
        tolerance=LOGIT_TOLERANCE * max(1.0, float(their_logits.std())),
        forced=float((our_logits.argmax(-1) == their_logits.argmax(-1)).mean()),
        greedy=(int(equal.cumprod().sum()), equal.size),
    )


def table(comparisons: list[Comparison]) -> str:
    """One line per stage."""
    lines = [f"{'stage':9}{'max error':>11}{'tolerance':>11}{'tokens equal':>14}{'greedy run':>12}"]
    for row in comparisons:
        greedy = "-" if row.greedy is None else f"{row.greedy[0]}/{row.greedy[1]}"
        lines.append(
            f"{row.stage:9}{row.error:11.1e}{row.tolerance:11.1e}{row.forced:14.2%}{greedy:>12}"
            + ("" if row.is_equal else "  DIFFERS")
        )
    return "\n".join(lines)
