"""The functions of the original Bark: change the import, keep the code.

    from bark_jax.api import SAMPLE_RATE, generate_audio, preload_models

Source: suno-ai/bark @f4f32d4, bark/api.py and bark/generation.py; same names, arguments, defaults,
results. Differs: environment variables are read at each call, not at import; a call loads only the
model it needs; asking for a small model after a large one gives the small one; bad values raise
errors that are both ValueError and AssertionError and say what is wrong; temperature 0 is allowed
and takes the most likely token; every function that samples takes a `seed`.

The large models are `suno/bark`, the small ones `suno/bark-small`: from the folder of the
original's downloads if they are there, else from the hub. `BARK_JAX_MODEL` names another model.
"""

import contextlib
import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bark_jax.checkpoint import load_config
from bark_jax.config import CodecConfig, TokenLayout
from bark_jax.pipeline import Bark
from bark_jax.runtime import environment
from bark_jax.runtime.notices import warn
from bark_jax.runtime.paths import NANO
from bark_jax.sources.suno_downloads import suno_downloads
from bark_jax.voices import KEYS, save_voice

SAMPLE_RATE: int  # [Hz], of the loaded model; see `__getattr__`
SUPPORTED_LANGS = [
    ("English", "en"), ("German", "de"), ("Spanish", "es"), ("French", "fr"), ("Hindi", "hi"),
    ("Italian", "it"), ("Japanese", "ja"), ("Korean", "ko"), ("Polish", "pl"),
    ("Portuguese", "pt"), ("Russian", "ru"), ("Turkish", "tr"), ("Chinese", "zh"),
]  # fmt: skip
ALLOWED_PROMPTS = {"announcer"} | {
    f"{folder}{language}_speaker_{n}"
    for _, language in SUPPORTED_LANGS
    for folder in ("", "v2/")
    for n in range(10)
}

STAGE_OF_KIND = {"text": "semantic", "coarse": "coarse", "fine": "fine", "codec": "codec"}
TOKENS = TokenLayout()  # of the published models
FINE_TEMPERATURE = 0.5  # in semantic_to_waveform, whose `temp` is the coarse stage's

# Loaded models by (kind, source, offload), and whether preload_models asked for a small one.
# The original keeps such a cache, and code written for it relies on that.
models: dict[tuple[str, str, bool], Bark] = {}
_wants_small: dict[str, bool] = {}


_given_rate: int | None = None  # what `SAMPLE_RATE` was when it was last asked for


def __getattr__(name: str) -> Any:
    """`SAMPLE_RATE`: the loaded model's, else that of `BARK_JAX_MODEL` if it is on this machine.

    Without either it is Bark's. A model of another rate warns when it gives audio.
    """
    global _given_rate
    if name != "SAMPLE_RATE":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    rates = [bark.sample_rate for bark in models.values()]
    _given_rate = rates[-1] if rates else _rate_of(os.environ.get(environment.MODEL))
    return _given_rate


def _rate_of(source: str | None) -> int:
    if source:
        with contextlib.suppress(OSError, ValueError):
            folder = NANO if source == "nano" else Path(source).expanduser()
            return load_config(folder).sample_rate
    return CodecConfig().sample_rate


class InputError(ValueError, AssertionError):
    """A bad argument. (The original raises AssertionError for most.)"""


def preload_models(
    text_use_gpu: bool = True,
    text_use_small: bool = False,
    coarse_use_gpu: bool = True,
    coarse_use_small: bool = False,
    fine_use_gpu: bool = True,
    fine_use_small: bool = False,
    codec_use_gpu: bool = True,
    force_reload: bool = False,
) -> None:
    """Loads all four models, and decides for later calls which of them are small.

    `*_use_gpu=False` changes nothing here: run with JAX_PLATFORMS=cpu to avoid an accelerator.
    """
    load_model(text_use_gpu, text_use_small, force_reload, "text")
    load_model(coarse_use_gpu, coarse_use_small, force_reload, "coarse")
    load_model(fine_use_gpu, fine_use_small, force_reload, "fine")
    load_codec_model(codec_use_gpu, force_reload)


def load_model(
    use_gpu: bool = True,
    use_small: bool = False,
    force_reload: bool = False,
    model_type: str = "text",
) -> Bark:
    """Loads one of "text", "coarse" and "fine", for this and all later calls.

    Returns:
      The `Bark` that holds it. (The original returns a torch module.)
    Raises:
      NotImplementedError: another `model_type`.
    """
    if model_type not in ("text", "coarse", "fine"):
        raise NotImplementedError(f"model_type={model_type!r}; want text, coarse or fine")
    _wants_small[model_type] = use_small
    return _preload(model_type, use_gpu, force_reload)


def load_codec_model(use_gpu: bool = True, force_reload: bool = False) -> Bark:
    """Loads the codec. Returns the `Bark` that holds it."""
    return _preload("codec", use_gpu, force_reload)


def clean_models(model_key: str | None = None) -> None:
    """Forgets the loaded models of one kind ("text", "coarse", "fine", "codec"), or all."""
    for key in [key for key in models if model_key in (None, key[0])]:
        del models[key]
    gc.collect()


def text_to_semantic(
    text: str,
    history_prompt: Any = None,
    temp: float = 0.7,
    silent: bool = False,
    *,
    seed: int | None = None,
) -> np.ndarray:
    """Text to semantic tokens for `semantic_to_waveform`; see `generate_text_semantic`."""
    return generate_text_semantic(text, history_prompt, temp, silent=silent, seed=seed)


def semantic_to_waveform(
    semantic_tokens: np.ndarray,
    history_prompt: Any = None,
    temp: float = 0.7,
    silent: bool = False,
    output_full: bool = False,
    *,
    seed: int | None = None,
) -> Any:
    """Semantic tokens (N,) to audio; `temp` is that of the coarse stage.

    Returns:
      Audio (S,), float32 at `SAMPLE_RATE`; with `output_full` (tokens, audio), where the tokens are
      a dict of arrays that works as a `history_prompt`.
    """
    seed = _fresh_seed() if seed is None else seed
    coarse = generate_coarse(semantic_tokens, history_prompt, temp, silent=silent, seed=seed)
    fine = generate_fine(coarse, history_prompt, FINE_TEMPERATURE, seed=seed)
    audio = codec_decode(fine)
    if output_full:
        return dict(zip(KEYS, (semantic_tokens, coarse, fine), strict=True)), audio
    return audio


def generate_audio(
    text: str,
    history_prompt: Any = None,
    text_temp: float = 0.7,
    waveform_temp: float = 0.7,
    silent: bool = False,
    output_full: bool = False,
    *,
    seed: int | None = None,
) -> Any:
    """Text to audio.

    Args:
      text: what to say, up to about 13 s of speech.
      history_prompt: name of a preset, path of an `.npz`, or the dict that `output_full` returns.
      text_temp: temperature of the semantic stage; lower is more conservative.
      waveform_temp: temperature of the coarse stage.
      silent: no progress bars.
      output_full: return the tokens too.
      seed: equal seeds give equal audio, that of `Bark.generate`; None draws one from numpy's
        global generator, so that `numpy.random.seed` fixes it.
    Returns:
      As in `semantic_to_waveform`.
    """
    seed = _fresh_seed() if seed is None else seed
    semantic = text_to_semantic(text, history_prompt, text_temp, silent, seed=seed)
    return semantic_to_waveform(
        semantic, history_prompt, waveform_temp, silent, output_full, seed=seed
    )


def save_as_prompt(filepath: str | os.PathLike[str], full_generation: dict[str, Any]) -> None:
    """Writes what `output_full` returned to an `.npz`, to be used as a `history_prompt`.

    Raises:
      InputError: `full_generation` is not a dict with the three prompts.
    """
    if not isinstance(full_generation, dict):
        raise InputError(f"full_generation must be a dict, got {type(full_generation).__name__}")
    if absent := [key for key in KEYS if key not in full_generation]:
        raise InputError(f"full_generation lacks {', '.join(absent)}")
    save_voice(Path(filepath), *(full_generation[key] for key in KEYS))


def generate_text_semantic(
    text: str,
    history_prompt: Any = None,
    temp: float = 0.7,
    top_k: int | None = None,
    top_p: float | None = None,
    silent: bool = False,
    min_eos_p: float | None = 0.2,
    max_gen_duration_s: float | None = None,
    allow_early_stop: bool = True,
    use_kv_caching: bool = False,
    *,
    seed: int | None = None,
) -> np.ndarray:
    """Text to semantic tokens (N,) int64.

    Args:
      min_eos_p: end once the end token is this likely; None ends only where it is drawn.
      max_gen_duration_s: end at this length [s] at the latest.
      allow_early_stop: False runs to the maximum length.
      use_kv_caching: no effect; there is always a cache, and the result is the same.
    """
    if not isinstance(text, str):
        raise InputError(f"text must be a str, got {type(text).__name__}")
    values = {
        "temperature": temp,
        "top_k": top_k,
        "top_p": top_p,
        "min_eos_p": min_eos_p,
        "max_duration_s": max_gen_duration_s,
        "allow_early_stop": allow_early_stop,
    }
    options = _options(history_prompt, "semantic", values, silent, seed)
    bark = _load("text")
    with _errors_of_the_original():
        return np.asarray(bark.semantic(text, **options)).astype(np.int64)


def generate_coarse(
    x_semantic: np.ndarray,
    history_prompt: Any = None,
    temp: float = 0.7,
    top_k: int | None = None,
    top_p: float | None = None,
    silent: bool = False,
    max_coarse_history: int = TOKENS.max_coarse_history,
    sliding_window_len: int = TOKENS.coarse_window,
    use_kv_caching: bool = False,
    *,
    seed: int | None = None,
) -> np.ndarray:
    """Semantic tokens (N,) to coarse codes (2, T) int32.

    Args:
      max_coarse_history: coarse tokens in the context, 60 (faster) … 630 (more context).
      sliding_window_len: tokens between two moves of the context.
      use_kv_caching: no effect; there is always a cache, and the result is the same.
    """
    values = {"temperature": temp, "top_k": top_k, "top_p": top_p}
    options = _options(history_prompt, "coarse", values, silent, seed)
    # Bark's own numbers mean those of the model, which may have others
    own = (TOKENS.max_coarse_history, TOKENS.coarse_window)
    if (max_coarse_history, sliding_window_len) != own:
        options |= {"max_history": max_coarse_history, "window": sliding_window_len}
    _check_array("x_semantic", x_semantic, 1)
    bark = _load("coarse")
    with _errors_of_the_original():
        return np.asarray(bark.coarse(x_semantic, **options))


def generate_fine(
    x_coarse_gen: np.ndarray,
    history_prompt: Any = None,
    temp: float | None = 0.5,
    silent: bool = True,
    *,
    seed: int | None = None,
) -> np.ndarray:
    """Codes of the first codebooks (1 … 7, T) to all (8, T) int32; `temp` None is argmax."""
    values = {"temperature": 0.0 if temp is None else temp}
    options = _options(history_prompt, "fine", values, silent, seed)
    _check_array("x_coarse_gen", x_coarse_gen, 2)
    bark = _load("fine")
    with _errors_of_the_original():
        return np.asarray(bark.fine(x_coarse_gen, **options))


def codec_decode(fine_tokens: np.ndarray) -> np.ndarray:
    """Codes (8, T) to audio (320 T,) float32 at `SAMPLE_RATE`."""
    _check_array("fine_tokens", fine_tokens, 2)
    bark = _load("codec")
    if _given_rate not in (None, bark.sample_rate):
        warn(
            f"the audio has {bark.sample_rate} samples a second, but SAMPLE_RATE was imported as "
            f"{_given_rate}, before this model was known: import it after preload_models()"
        )
    with _errors_of_the_original():
        return np.asarray(bark.decode(fine_tokens))


def _preload(kind: str, use_gpu: bool, force_reload: bool) -> Bark:
    """Loads one model, its parameters included."""
    if not use_gpu and jax.default_backend() != "cpu":
        warn(f"the {kind} model uses the accelerator: only JAX_PLATFORMS=cpu avoids it")
    bark = _load(kind, force_reload)
    with bark.runner.params[STAGE_OF_KIND[kind]].on_device():
        return bark


def _load(kind: str, force_reload: bool = False) -> Bark:
    """The model of one kind in the wanted size, from the cache if it is there."""
    source = _source(_wants_small.get(kind, False) or environment.is_true(environment.SMALL))
    key = (kind, source, environment.is_true(environment.OFFLOAD))
    if force_reload:
        models.pop(key, None)
    if key not in models:
        models[key] = Bark.from_pretrained(source, offload=key[-1])
    return models[key]


def _source(small: bool) -> str:
    """The `source` for `Bark.from_pretrained`."""
    if own := os.environ.get(environment.MODEL):
        return own
    if folder := suno_downloads(small):
        return str(folder)
    return "suno/bark-small" if small else "suno/bark"


def _fresh_seed() -> int:
    return int(np.random.randint(2**31))


def _options(
    history_prompt: Any, stage: str, values: dict[str, Any], silent: bool, seed: int | None
) -> dict[str, Any]:
    """The arguments that every stage of `Bark` takes."""
    return {
        "voice": history_prompt,
        "sampling": {stage: values},
        "progress": not silent,
        "seed": _fresh_seed() if seed is None else seed,
    }


def _check_array(name: str, value: Any, ndim: int) -> None:
    """Refuses what `Bark` would take for a batch."""
    if not hasattr(value, "__array__") or np.ndim(value) != ndim:
        shape = f"an array of shape {np.shape(value)}" if hasattr(value, "__array__") else value
        raise InputError(f"{name} must be an array of {ndim} axes, got {shape!r}")


@contextlib.contextmanager
def _errors_of_the_original() -> Iterator[None]:
    """Bad values raise an error that code catching AssertionError catches too."""
    try:
        yield
    except ValueError as error:
        if isinstance(error, AssertionError):
            raise
        raise InputError(str(error)) from error
