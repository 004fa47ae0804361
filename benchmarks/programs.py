"""Every program that generation runs, with abstract arguments of Bark's real shapes."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding

from bark_jax.config import BarkConfig
from bark_jax.decoding.cache_growth import cache_sizes
from bark_jax.decoding.noise import KeyNoise
from bark_jax.decoding.sampling import Filter
from bark_jax.models.binding import abstract_params
from bark_jax.models.encodec import EnCodec, first_state
from bark_jax.models.fine_gpt import FineGPT
from bark_jax.models.gpt import GPT
from bark_jax.runtime.execution import Execution
from bark_jax.runtime.platforms import Platform
from bark_jax.sampling_config import BARK, per_row
from bark_jax.stages import coarse, codec, fine, semantic

Abstract = Any  # a tree of shapes and dtypes


@dataclasses.dataclass(frozen=True)
class Program:
    """One jitted function of a stage."""

    name: str
    rows: int
    function: Callable[..., Any]
    args: Abstract
    static: dict[str, Any]
    cache_values: int | None = None  # in the keys of one layer
    unit: str = "call"  # what cycles are counted for: a call, or what one pass of the loop makes
    loop_passes: int | None = 0  # of each loop in a call; None where the unit is a pass

    def compile(self, lowers_to: str, sharding: NamedSharding) -> Any:
        """Compiles for the device of `sharding`; `lowers_to` is JAX's name of its platform."""
        args = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), self.args
        )
        platform: Platform = self.static["execution"].platform
        function = getattr(self.function, "for_platform")(platform)  # noqa: B009  # set by `jit`
        lowered = function.trace(*args, **self.static).lower(lowering_platforms=(lowers_to,))
        return lowered.compile(compiler_options=dict(platform.compiler_options))


def programs(config: BarkConfig, rows: int, execution: Execution) -> Iterator[Program]:
    """The programs of all stages for a batch of `rows`."""
    static = {"cfg": config, "execution": execution}
    yield from _semantic(config, rows, static)
    yield from _coarse(config, rows, static)
    rows = min(rows, execution.platform.parallel_rows)
    yield _fine(config, rows, static)
    yield _codec(config, rows, execution)


def _semantic(config: BarkConfig, rows: int, static: dict[str, Any]) -> Iterator[Program]:
    layout = config.tokens
    values = per_row("semantic", BARK.semantic, rows)
    ending, by = semantic.Ending.of(values, layout), Filter.of(values)
    noise = KeyNoise.of([0] * rows, "semantic")
    params = abstract_params(GPT, config.semantic, static["execution"])
    args = (params, _ints(rows, 2 * layout.text_length + 1), by, ending, noise)
    limit = layout.max_semantic_tokens
    prompt, platform = semantic.prompt_slots(layout), static["execution"].platform
    slots = cache_sizes(rows, prompt, limit, platform)[-1]
    begin = {**static, "slots": slots}
    yield Program("semantic prefill 257", rows, semantic.begin, args, begin)
    state = _result(semantic.begin, args, begin)
    args = (params, state, by, ending, noise, _ints())
    n_values = _cache_values(state)
    yield Program("semantic decode", rows, semantic.advance, args, static, n_values, "token", None)


def _coarse(config: BarkConfig, rows: int, static: dict[str, Any]) -> Iterator[Program]:
    layout = config.tokens
    values = per_row("coarse", BARK.coarse, rows)
    by, noise = Filter.of(values), KeyNoise.of([0] * rows, "coarse")
    params = abstract_params(GPT, config.coarse, static["execution"])
    shortest = layout.coarse_semantic_length + 1
    contexts = (
        (shortest, layout.max_coarse_history),  # the first segment, without a voice
        (shortest + layout.max_coarse_history, layout.coarse_window),  # the later ones
    )
    for length, steps in contexts:
        args = (params, _ints(rows, length), _ints(rows), by, noise, _ints())
        slots = cache_sizes(rows, length, steps, static["execution"].platform)[-1]
        begin = {**static, "slots": slots}
        yield Program(f"coarse prefill {length}", rows, coarse.begin, args, begin)
        state = _result(coarse.begin, args, begin)
        args = (params, state, by, noise, _ints(), _ints())
    n_values = _cache_values(state)
    yield Program("coarse decode", rows, coarse.advance, args, static, n_values, "token", None)


def _fine(config: BarkConfig, rows: int, static: dict[str, Any]) -> Program:
    layout = config.tokens
    codes = _ints(rows, layout.fine_window, layout.n_fine_codebooks)
    params = abstract_params(FineGPT, config.fine, static["execution"])
    temperature = jax.ShapeDtypeStruct((rows,), jnp.float32)
    noise = KeyNoise.of([0] * rows, "fine")
    args = (params, codes, _ints(rows), temperature, noise, _ints(), _ints())
    return Program("fine window", rows, fine.fill_window, args, static, None, "codebook", None)


def _codec(config: BarkConfig, rows: int, execution: Execution) -> Program:
    """The codec's program, which decodes a chunk of every row."""
    params = abstract_params(EnCodec, config.codec)
    codes = _ints(rows, config.tokens.n_fine_codebooks, codec.CHUNK)
    args = (params, codes, _ints(rows), first_state(config.codec, rows))
    static = {"cfg": config.codec, "execution": execution}
    return Program("codec chunk", rows, codec.decode_chunk, args, static, loop_passes=codec.CHUNK)


def _ints(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.int32)


def _result(jitted: Callable[..., Any], args: Abstract, static: dict[str, Any]) -> Abstract:
    function = getattr(jitted, "__wrapped__")  # noqa: B009  # set by functools.wraps
    return jax.eval_shape(lambda *args: function(*args, **static), *args)


def _cache_values(state: Any) -> int:
    return jax.tree.leaves(state.context.cache[0])[0].size
