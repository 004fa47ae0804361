"""Runs the stages on batches: places parameters, lays out prompts, shows progress."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from bark_jax.batching import Batch
from bark_jax.config import BarkConfig
from bark_jax.decoding.noise import noise_of
from bark_jax.params import Params
from bark_jax.runtime.execution import Execution
from bark_jax.runtime.host_memory import return_freed
from bark_jax.runtime.placement import StageParams
from bark_jax.runtime.progress import stage_bar
from bark_jax.sampling_config import BARK, Rows, SamplingConfig
from bark_jax.stages import coarse as coarse_stage
from bark_jax.stages import codec as codec_stage
from bark_jax.stages import fine as fine_stage
from bark_jax.stages import semantic as semantic_stage
from bark_jax.stages.coarse_plan import make_plan
from bark_jax.stages.follow import rows_that_follow
from bark_jax.stages.guided import guide_of, with_others
from bark_jax.stages.own import run_coarse, run_codec, run_fine, run_semantic
from bark_jax.stages.semantic import SemanticResult
from bark_jax.stages.semantic_stream import Request, stream_semantic
from bark_jax.text import Tokenizer, encode_text, prompt_of

Noise = Sequence[np.ndarray] | None  # injected, one array per row


@dataclasses.dataclass(frozen=True, eq=False)
class StageRunner:
    """The stages of one model. Inputs must be checked, and voices in the batch resolved."""

    config: BarkConfig
    params: Mapping[str, StageParams]
    tokenizer: Tokenizer
    execution: Execution
    mesh: Mesh | None
    weights: Mapping[str, str] = dataclasses.field(default_factory=dict)  # formats by stage
    origin: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # of the model; plain data
    phones: Sequence[str] = ()  # what semantic tokens are thirds of, such as "rms/aa"
    own: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # in place of Bark's stages
    sampling: SamplingConfig = BARK  # what is drawn with where nobody says otherwise; every value

    def execution_of(self, stage: str) -> Execution:
        """How a stage computes: like all others, with weights in a format of its own."""
        return self.execution.with_weights(self.weights.get(stage))

    @property
    def is_offloaded(self) -> bool:
        """Whether parameters are kept in host memory."""
        return any(stage.offload for stage in self.params.values())

    def semantic(
        self, batch: Batch, noise: Noise = None, *, progress: bool = False
    ) -> list[SemanticResult]:
        """Texts to semantic tokens."""
        if "semantic" in self.own:
            self._check_no_noise(noise, "semantic")
            return run_semantic(self.own["semantic"], batch, self.config.tokens)
        layout, rows = self.config.tokens, self.semantic_sampling(batch)
        limits = [semantic_stage.max_tokens(s, layout) for s in rows["max_duration_s"]]
        noise_B = noise_of(
            "semantic", batch.seeds, noise, (layout.semantic_vocab_size + 1,), limits
        )
        prompts_BT = np.stack(self.prompts(with_others(batch, "semantic")))
        with (
            self._running("semantic", max(limits), progress) as run,
            guide_of(batch, "semantic") as guide,
        ):
            hooks, look = batch.hooks("semantic"), batch.look("semantic")
            stage = semantic_stage.generate_semantic
            return run(stage, prompts_BT, rows, noise_B, guide, hooks=hooks, look=look)

    def semantic_stream(self, batch: Batch, n_rows: int) -> Iterator[tuple[int, SemanticResult]]:
        """Texts to semantic tokens: yields (row, result) as rows end; `n_rows` run at a time."""
        if "semantic" in self.own:
            for begin in range(0, batch.n_rows, n_rows):
                part = batch.take(range(begin, min(begin + n_rows, batch.n_rows)))
                yield from enumerate(self.semantic(part), begin)
            return
        rows = self.semantic_sampling(batch)
        prompts_BCT = np.stack(self.prompts(with_others(batch, "semantic")))
        requests = [
            Request(ids_CT, {name: values[i] for name, values in rows.items()}, batch.seeds[i])
            for i, ids_CT in enumerate(prompts_BCT.reshape(batch.n_rows, -1, prompts_BCT.shape[-1]))
        ]
        with (
            self.params["semantic"].on_device() as params,
            guide_of(batch, "semantic") as guide,
        ):
            ended = stream_semantic(
                params,
                requests,
                n_rows,
                guide,
                cfg=self.config,
                execution=self.execution_of("semantic"),
                hooks=batch.hooks("semantic"),
                look=batch.look("semantic"),
            )
            while True:
                with self._mesh_in_use():  # but not while the caller handles a row
                    row = next(ended, None)
                if row is None:
                    return
                yield row

    def coarse(
        self,
        semantic: Sequence[np.ndarray],
        batch: Batch,
        noise: Noise = None,
        *,
        max_history: int | None = None,
        window: int | None = None,
        progress: bool = False,
        traces: Sequence[dict[str, np.ndarray]] = (),
    ) -> list[np.ndarray]:
        """Semantic tokens to coarse codes.

        Args:
          traces: one dict per row; gets what the batch's hooks keep.
        """
        if "coarse" in self.own:
            self._check_no_noise(noise, "coarse")
            return run_coarse(self.own["coarse"], semantic, batch, self.config.tokens)
        layout, read = self.config.tokens, with_others(batch, "coarse")
        n_conditions = read.n_rows // batch.n_rows
        plans = [
            make_plan(
                semantic[i // n_conditions],
                voice and (voice.semantic, voice.coarse),
                layout,
                max_history or layout.max_coarse_history,
            )
            for i, voice in enumerate(read.voices)
        ]
        lengths = [plan.n_tokens for plan in plans[::n_conditions]]
        noise_B = noise_of("coarse", batch.seeds, noise, (layout.codebook_size,), lengths)
        with (
            self._running("coarse", max(lengths), progress) as run,
            guide_of(batch, "coarse") as guide,
        ):
            return run(
                coarse_stage.generate_coarse,
                plans,
                batch.sampling["coarse"],
                noise_B,
                guide,
                window=window or layout.coarse_window,
                hooks=batch.hooks("coarse"),
                keep=traces,
                look=batch.look("coarse"),
            )

    def fine(
        self,
        coarse: Sequence[np.ndarray],
        batch: Batch,
        noise: Noise = None,
        *,
        progress: bool = False,
    ) -> list[np.ndarray]:
        """Codes of the first codebooks to codes of all."""
        if "fine" in self.own:
            self._check_no_noise(noise, "fine")
            return run_fine(self.own["fine"], coarse, batch, self.config.tokens)
        layout = self.config.tokens
        histories = [voice and voice.fine for voice in batch.voices]
        n_windows = fine_stage.n_windows(coarse, histories, layout)
        step_shape = (layout.fine_window, layout.codebook_size)
        steps = [n * layout.n_fine_codebooks for n in n_windows]
        noise_B = noise_of("fine", batch.seeds, noise, step_shape, steps)
        rows = batch.sampling["fine"]
        with self._running("fine", sum(n_windows), progress) as run:
            hooks, look = batch.hooks("fine"), batch.look("fine")
            stage = fine_stage.generate_fine
            return run(stage, coarse, histories, rows, noise_B, hooks=hooks, look=look)

    def decode(self, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Codes to audio; a row without frames gives no samples."""
        if "codec" in self.own:
            return run_codec(self.own["codec"], codes)
        audio = [np.zeros(0, np.float32) for _ in codes]
        spoken = [i for i, row in enumerate(codes) if row.shape[1]]
        with self.on_device("codec") as params:
            made = codec_stage.decode_rows(
                params,
                [codes[i] for i in spoken],
                cfg=self.config.codec,
                execution=self.execution,
            )
        for i, samples in zip(spoken, made, strict=True):
            audio[i] = samples
        return audio

    def encode(self, audio: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Audio to codes, of as many codebooks as the fine stage gives."""
        with self.on_device("codec") as params:
            return codec_stage.encode_rows(
                params,
                [np.asarray(row, np.float32) for row in audio],
                cfg=self.config.codec,
                execution=self.execution,
                n_codebooks=self.config.tokens.n_fine_codebooks,
            )

    def with_own(self, own: Mapping[str, Any]) -> "StageRunner":
        """The same with other stages in place of Bark's; what is made says so."""
        own = {**self.own, **own}
        named = {name: type(stage).__qualname__ for name, stage in own.items()}
        return dataclasses.replace(self, own=own, origin={**self.origin, "own": named})

    def _check_no_noise(self, noise: Noise, stage: str) -> None:
        if noise is not None:
            raise ValueError(f"noise is for Bark's own {stage} stage, which is replaced here")

    def semantic_sampling(self, batch: Batch) -> Rows:
        """Sampling of the rows, with what the tokenizer's settings add to it."""
        rows = batch.sampling["semantic"]
        if not (self.tokenizer.settings.follows_phones and self.phones):
            return rows
        return rows_that_follow(rows, batch.texts, self.tokenizer, self.config.tokens, self.phones)

    def prompts(self, batch: Batch) -> list[np.ndarray]:
        """Ids of every row for the semantic model, see `stages.semantic.prompt`."""
        layout = self.config.tokens
        texts = [
            prompt_of([], layout) if text is None else encode_text(self.tokenizer, text, layout)
            for text in batch.texts
        ]
        return [
            semantic_stage.prompt(text_T, voice and voice.semantic, layout)
            for text_T, voice in zip(texts, batch.voices, strict=True)
        ]

    @contextmanager
    def on_device(self, stage: str) -> Iterator[Params]:
        """Parameters of a stage, with the mesh set for what is computed with them."""
        with self._mesh_in_use(), self.params[stage].on_device() as params:
            yield params

    def _mesh_in_use(self) -> AbstractContextManager[Any]:
        return nullcontext() if self.mesh is None else jax.set_mesh(self.mesh)

    @contextmanager
    def _running(self, stage: str, total: int, progress: bool) -> Iterator[Callable[..., Any]]:
        """Yields a function that calls the stage's, with parameters placed and a progress bar."""
        with self.on_device(stage) as params, stage_bar(stage, total, progress) as report:

            def run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
                return function(
                    params,
                    *args,
                    cfg=self.config,
                    execution=self.execution_of(stage),
                    report=report,
                    **kwargs,
                )

            yield run
        return_freed()
