"""Runs the stages on batches: places parameters, lays out prompts, keeps time and progress."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from bark_jax.batching import Batch
from bark_jax.config import BarkConfig
from bark_jax.decoding.noise import noise_of
from bark_jax.models import encodec
from bark_jax.models.layers import DTypes
from bark_jax.params import Params
from bark_jax.runtime.host_memory import return_freed
from bark_jax.runtime.placement import StageParams
from bark_jax.runtime.progress import stage_bar
from bark_jax.sampling_config import per_row
from bark_jax.stages import coarse as coarse_stage
from bark_jax.stages import fine as fine_stage
from bark_jax.stages import semantic as semantic_stage
from bark_jax.stages.coarse_plan import make_plan
from bark_jax.stages.semantic import SemanticResult
from bark_jax.stages.semantic_stream import Request, stream_semantic
from bark_jax.text import Tokenizer, encode_text

Noise = Sequence[np.ndarray] | None  # injected, one array per row
Timings = dict[str, float]  # stage -> [s]; the runner adds to it


@dataclasses.dataclass(frozen=True, eq=False)
class StageRunner:
    """The stages of one model. Rows come checked; voices in the batch are resolved."""

    config: BarkConfig
    params: Mapping[str, StageParams]
    tokenizer: Tokenizer
    dtypes: DTypes
    mesh: Mesh | None

    @property
    def is_offloaded(self) -> bool:
        """Whether parameters rest on the host."""
        return any(stage.offload for stage in self.params.values())

    def semantic(
        self, batch: Batch, noise: Noise, progress: bool, timings: Timings
    ) -> list[SemanticResult]:
        """Texts to semantic tokens."""
        layout = self.config.tokens
        rows = per_row("semantic", batch.sampling.semantic, batch.n_rows)
        limits = [semantic_stage.max_tokens(s, layout) for s in rows["max_duration_s"]]
        noise_B = noise_of(
            "semantic", batch.seeds, noise, (layout.semantic_vocab_size + 1,), limits
        )
        prompts_BT = np.stack(self._prompts(batch))
        with self._running("semantic", max(limits), progress, timings) as run:
            return run(semantic_stage.generate_semantic, prompts_BT, rows, noise_B)

    def semantic_stream(self, batch: Batch, n_rows: int) -> Iterator[tuple[int, SemanticResult]]:
        """Texts to semantic tokens, (row, result) as rows end, `n_rows` under way at a time."""
        rows = per_row("semantic", batch.sampling.semantic, batch.n_rows)
        requests = [
            Request(prompt_T, {name: values[i] for name, values in rows.items()}, batch.seeds[i])
            for i, prompt_T in enumerate(self._prompts(batch))
        ]
        with self.params["semantic"].on_device() as params:
            ended = stream_semantic(params, requests, n_rows, cfg=self.config, dtypes=self.dtypes)
            while True:
                with self._mesh_in_use():  # and not while the caller works on what it has got
                    row = next(ended, None)
                if row is None:
                    return
                yield row

    def coarse(
        self,
        semantic: Sequence[np.ndarray],
        batch: Batch,
        noise: Noise,
        progress: bool,
        timings: Timings,
        max_history: int | None = None,
        window: int | None = None,
    ) -> list[np.ndarray]:
        """Semantic tokens to coarse codes."""
        layout = self.config.tokens
        rows = per_row("coarse", batch.sampling.coarse, batch.n_rows)
        plans = [
            make_plan(
                tokens,
                voice and (voice.semantic, voice.coarse),
                layout,
                max_history or layout.max_coarse_history,
            )
            for tokens, voice in zip(semantic, batch.voices, strict=True)
        ]
        lengths = [plan.n_tokens for plan in plans]
        noise_B = noise_of("coarse", batch.seeds, noise, (layout.codebook_size,), lengths)
        with self._running("coarse", max(lengths), progress, timings) as run:
            return run(
                coarse_stage.generate_coarse,
                plans,
                rows,
                noise_B,
                window=window or layout.coarse_window,
            )

    def fine(
        self,
        coarse: Sequence[np.ndarray],
        batch: Batch,
        noise: Noise,
        progress: bool,
        timings: Timings,
    ) -> list[np.ndarray]:
        """Codes of the first codebooks to codes of all."""
        layout = self.config.tokens
        rows = per_row("fine", batch.sampling.fine, batch.n_rows)
        histories = [voice and voice.fine for voice in batch.voices]
        n_windows = fine_stage.n_windows(coarse, histories, layout)
        step_shape = (layout.fine_window, layout.codebook_size)
        steps = [n * layout.n_fine_codebooks for n in n_windows]
        noise_B = noise_of("fine", batch.seeds, noise, step_shape, steps)
        with self._running("fine", sum(n_windows), progress, timings) as run:
            return run(fine_stage.generate_fine, coarse, histories, rows["temperature"], noise_B)

    def decode(self, codes: Sequence[np.ndarray], timings: Timings) -> list[np.ndarray]:
        """Codes to audio; a row without frames gives no samples."""
        begin = time.perf_counter()
        audio = [np.zeros(0, np.float32) for _ in codes]
        spoken = [i for i, row in enumerate(codes) if row.shape[1]]
        with self._on_device("codec") as params:
            made = encodec.decode_rows(params, [codes[i] for i in spoken], self.config.codec)
        for i, samples in zip(spoken, made, strict=True):
            audio[i] = samples
        timings["codec"] = time.perf_counter() - begin
        return audio

    def encode(self, audio: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Audio to codes of as many codebooks as the fine stage makes."""
        n_codebooks = self.config.tokens.n_fine_codebooks
        with self._on_device("codec") as params:
            rows = [np.asarray(row, np.float32) for row in audio]
            return encodec.encode_rows(params, rows, self.config.codec, n_codebooks=n_codebooks)

    def _prompts(self, batch: Batch) -> list[np.ndarray]:
        layout = self.config.tokens
        return [
            semantic_stage.prompt(
                encode_text(self.tokenizer, text, layout), voice and voice.semantic, layout
            )
            for text, voice in zip(batch.texts, batch.voices, strict=True)
        ]

    @contextmanager
    def _on_device(self, stage: str) -> Iterator[Params]:
        """Parameters of a stage, with the mesh set for what is computed with them."""
        with self._mesh_in_use(), self.params[stage].on_device() as params:
            yield params

    def _mesh_in_use(self) -> AbstractContextManager[Any]:
        return nullcontext() if self.mesh is None else jax.set_mesh(self.mesh)

    @contextmanager
    def _running(
        self, stage: str, total: int, progress: bool, timings: Timings
    ) -> Iterator[Callable[..., Any]]:
        """Yields a caller of the stage's function, with parameters placed, a bar and a clock."""
        begin = time.perf_counter()
        with self._on_device(stage) as params, stage_bar(stage, total, progress) as report:

            def run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
                return function(
                    params, *args, cfg=self.config, dtypes=self.dtypes, report=report, **kwargs
                )

            yield run
        return_freed()
        timings[stage] = time.perf_counter() - begin
