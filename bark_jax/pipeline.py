"""`Bark`: text to audio, in one call or stage by stage."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from bark_jax import backend, checkpoint
from bark_jax.batching import Batch, as_rows
from bark_jax.compiling import enable_cache
from bark_jax.config import STAGES, BarkConfig
from bark_jax.generation import Generation
from bark_jax.models import encodec
from bark_jax.models.binding import Params
from bark_jax.models.layers import DTypes
from bark_jax.noise import noise_of
from bark_jax.placement import StageParams
from bark_jax.progress import stage_bar
from bark_jax.sampling_config import SamplingConfig, per_row
from bark_jax.sharding import check_mesh, sharding_of
from bark_jax.stages import coarse as coarse_stage
from bark_jax.stages import fine as fine_stage
from bark_jax.stages import semantic as semantic_stage
from bark_jax.stages.checks import check_coarse_context, check_codes, check_semantic
from bark_jax.stages.coarse_plan import make_plan
from bark_jax.text import Tokenizer, encode_text
from bark_jax.voices import Voice, VoiceLibrary

Source = str | Path
Sampling = SamplingConfig | Mapping[str, Any] | None


class Bark:
    """A model ready to generate. Make one with `from_pretrained`.

    Every argument of `generate` and of the stages may be one value or a list with one per row;
    lists must have equal lengths. A row gives the same tokens alone and in any batch, up to float
    rounding where two scores all but tie.
    """

    def __init__(
        self,
        config: BarkConfig,
        params: Mapping[str, StageParams],
        tokenizer: Tokenizer,
        voices: VoiceLibrary,
        dtypes: DTypes,
        mesh: Mesh | None = None,
    ) -> None:
        if mesh is not None:
            check_mesh(mesh)
        self.mesh = mesh
        self.config = config
        self.tokenizer = tokenizer
        self.voices = voices
        self.dtypes = dtypes
        self._params = dict(params)

    @classmethod
    def from_pretrained(
        cls,
        source: Source | Mapping[str, Source],
        *,
        dtype: str | DTypes | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        mesh: Mesh | None = None,
        offload: bool = False,
    ) -> "Bark":
        """Loads a model.

        Args:
          source: a model directory, a folder with Suno's or Hugging Face's files, a hub repository
            (`suno/bark`, `suno/bark-small`: downloaded and converted once), or `"nano"`. A mapping
            {"semantic": …, "coarse": …, "fine": …, "codec": …} mixes sizes; stages that it lacks
            come from its "semantic".
          dtype: "float32", "bfloat16" or a `DTypes`; None is float32 on CPU, else bfloat16. The
            codec is always float32: it costs little, and rounding there is audible.
          revision: branch, tag or commit of the hub repository.
          local_files_only: never ask the hub.
          mesh: spread over the devices of a mesh: rows of a batch over its axis "data", weights
            over its axis "model". A batch whose rows cannot be dealt out evenly is computed on
            every device of "data". Several processes pass equal arguments and get equal results.
          offload: keep parameters in host memory and each stage on the device only while it runs.
        Raises:
          OSError: a model cannot be had; says what is missing and how to get it.
          ValueError: a damaged model, an unknown dtype, or stages that do not fit together.
        """
        from bark_jax.hub import resolve_model

        enable_cache()
        by_stage = dict(source) if isinstance(source, Mapping) else {"semantic": source}
        if unknown := by_stage.keys() - set(STAGES):
            raise ValueError(f"source has unknown stages {sorted(unknown)}; want {STAGES}")
        if "semantic" not in by_stage:
            raise ValueError(f"source has no 'semantic' stage; it has {sorted(by_stage)}")
        resolved: dict[Source, Path] = {
            each: resolve_model(each, revision=revision, local_files_only=local_files_only)
            for each in dict.fromkeys(by_stage.values())
        }
        folders = {s: resolved[by_stage.get(s, by_stage["semantic"])] for s in STAGES}
        if dtype is None:
            dtype = backend.current().dtype
        dtypes = DTypes.all(dtype) if isinstance(dtype, str) else dtype
        config = _merge_configs({s: checkpoint.load_config(f) for s, f in folders.items()})

        def loader(stage: str) -> Callable[[], Any]:
            stored = "float32" if stage == "codec" else dtypes.params
            place = None if mesh is None else functools.partial(sharding_of, mesh)
            return lambda: checkpoint.load_stage(folders[stage], stage, stored, place)

        home = folders["semantic"]
        return cls(
            config,
            {stage: StageParams(loader(stage), offload) for stage in STAGES},
            Tokenizer.from_directory(home / "tokenizer"),
            VoiceLibrary(
                [home / "voices"],
                config.tokens,
                hub_repo=checkpoint.load_source(home).get("voices_repo"),
                local_files_only=local_files_only,
            ),
            dtypes,
            mesh,
        )

    @property
    def sample_rate(self) -> int:
        """Of the audio [Hz]."""
        return self.config.sample_rate

    def generate(
        self,
        text: str | Sequence[str],
        *,
        voice: Any = None,
        seed: int | Sequence[int] = 0,
        sampling: Sampling = None,
        progress: bool = False,
    ) -> Generation | list[Generation]:
        """Speaks `text`.

        Args:
          text: what to say; about 13 s of speech fit into one row.
          voice: preset name, path of an `.npz`, dict of the three prompts, `Voice`, an earlier
            `Generation`, or None for a voice drawn by the model.
          seed: equal seeds give equal tokens on one platform and dtype.
          sampling: a `SamplingConfig`, or (part of) it as nested dicts.
          progress: show a bar per stage on stderr if that is a terminal.
        Returns:
          One `Generation`, or a list where any argument is a list. A row whose first semantic
          token is the end has empty audio.
        Raises:
          ValueError: an argument is out of its range or lists differ in length; names it.
        """
        batch = Batch.of(text=text, voice=voice, seed=seed, sampling=SamplingConfig.of(sampling))
        timings: dict[str, float] = {}
        semantic = self._semantic(batch, None, progress, timings)
        tokens = [row.tokens for row in semantic]
        coarse = self._coarse(tokens, batch, None, progress, timings)
        fine = self._fine(coarse, batch, None, progress, timings)
        audio = self._decode(fine, timings)
        rows = [
            Generation(
                audio=audio[i],
                sample_rate=self.sample_rate,
                semantic=tokens[i],
                coarse=coarse[i],
                fine=fine[i],
                text=batch.texts[i],
                seed=batch.seeds[i],
                finish_reason=semantic[i].finish_reason,
                timings=timings,
                settings=batch.settings(i),
            )
            for i in range(batch.n_rows)
        ]
        return rows if batch.is_list else rows[0]

    def semantic(
        self,
        text: str | Sequence[str],
        *,
        voice: Any = None,
        seed: int | Sequence[int] = 0,
        sampling: Sampling = None,
        noise: Any = None,
        progress: bool = False,
    ) -> np.ndarray | list[np.ndarray]:
        """Text to semantic tokens (N,) int32, end token excluded; N may be 0.

        Args:
          noise: Gumbel noise (steps, semantic vocabulary + 1) that replaces the seed's; the last
            column belongs to the end token. Other arguments as in `generate`.
        """
        batch = Batch.of(text=text, voice=voice, seed=seed, sampling=SamplingConfig.of(sampling))
        rows = self._semantic(batch, batch.noise(noise), progress, {})
        tokens = [row.tokens for row in rows]
        return tokens if batch.is_list else tokens[0]

    def coarse(
        self,
        semantic: Any,
        *,
        voice: Any = None,
        seed: int | Sequence[int] = 0,
        sampling: Sampling = None,
        noise: Any = None,
        max_history: int | None = None,
        window: int | None = None,
        progress: bool = False,
    ) -> np.ndarray | list[np.ndarray]:
        """Semantic tokens (N,) to coarse codes (2, T) int32, T = floor(75 N / 49.9).

        Args:
          semantic: integers in [0, 10_000), N > 0; a list of arrays is a batch.
          noise: Gumbel noise (2 T, codebook size), codebooks taking turns.
          max_history: coarse tokens kept in the context, 60 … 630 (default).
          window: tokens between two moves of the context; 60 by default.
        """
        batch = Batch.of(
            data=as_rows("semantic", semantic, 1),
            voice=voice,
            seed=seed,
            sampling=SamplingConfig.of(sampling),
        )
        codes = self._coarse(
            [check_semantic(row, self.config.tokens) for row in batch.data],
            batch,
            batch.noise(noise),
            progress,
            {},
            *check_coarse_context(max_history, window, self.config.tokens),
        )
        return codes if batch.is_list else codes[0]

    def fine(
        self,
        coarse: Any,
        *,
        voice: Any = None,
        seed: int | Sequence[int] = 0,
        sampling: Sampling = None,
        noise: Any = None,
        progress: bool = False,
    ) -> np.ndarray | list[np.ndarray]:
        """Codes of the first codebooks (q, T), 1 <= q < 8, to codes (8, T) int32.

        Args:
          noise: Gumbel noise (windows x 8, 1024, codebook size), see `stages/fine.py`.
        """
        batch = Batch.of(
            data=as_rows("coarse", coarse, 2),
            voice=voice,
            seed=seed,
            sampling=SamplingConfig.of(sampling),
        )
        most = self.config.tokens.n_fine_codebooks - 1
        rows = [check_codes("coarse", row, self.config.tokens, 1, most) for row in batch.data]
        codes = self._fine(rows, batch, batch.noise(noise), progress, {})
        return codes if batch.is_list else codes[0]

    def decode(self, codes: Any) -> np.ndarray | list[np.ndarray]:
        """Codes (8, T) to audio (320 T,) float32 at `sample_rate`; a list of arrays is a batch."""
        rows, is_list = as_rows("codes", codes, 2)
        most = self.config.codec.n_codebooks
        audio = self._decode(
            [check_codes("codes", row, self.config.tokens, 1, most) for row in rows], {}
        )
        return audio if is_list else audio[0]

    def encode(self, audio: Any) -> np.ndarray | list[np.ndarray]:
        """Audio (S,) at `sample_rate` to codes (8, ceil(S / 320)); a list of arrays is a batch."""
        rows, is_list = as_rows("audio", audio, 1)
        with self._on_device("codec") as params:
            codes = [
                np.asarray(
                    encodec.encode(
                        params,
                        jnp.asarray(row, jnp.float32)[None],
                        cfg=self.config.codec,
                        n_codebooks=self.config.tokens.n_fine_codebooks,
                    )
                )[0]
                for row in rows
            ]
        return codes if is_list else codes[0]

    def _voices(self, batch: Batch) -> list[Voice | None]:
        return [self.voices.resolve(voice) for voice in batch.voices]

    def _semantic(self, batch, noise, progress, timings):
        layout = self.config.tokens
        rows = per_row("semantic", batch.sampling.semantic, batch.n_rows)
        prompts = [
            semantic_stage.prompt(
                encode_text(self.tokenizer, text, layout), voice and voice.semantic, layout
            )
            for text, voice in zip(batch.texts, self._voices(batch), strict=True)
        ]
        limits = [semantic_stage.max_tokens(s, layout) for s in rows["max_duration_s"]]
        noise = noise_of("semantic", batch.seeds, noise, (layout.semantic_vocab_size + 1,), limits)
        with self._running("semantic", layout.max_semantic_tokens, progress, timings) as run:
            return run(semantic_stage.generate_semantic, np.stack(prompts), rows, noise)

    def _coarse(self, semantic, batch, noise, progress, timings, max_history=None, window=None):
        layout = self.config.tokens
        rows = per_row("coarse", batch.sampling.coarse, batch.n_rows)
        plans = [
            make_plan(
                tokens,
                voice and (voice.semantic, voice.coarse),
                layout,
                max_history or layout.max_coarse_history,
            )
            for tokens, voice in zip(semantic, self._voices(batch), strict=True)
        ]
        lengths = [plan.n_tokens for plan in plans]
        noise = noise_of("coarse", batch.seeds, noise, (layout.codebook_size,), lengths)
        with self._running("coarse", max(lengths), progress, timings) as run:
            return run(
                coarse_stage.generate_coarse,
                plans,
                rows,
                noise,
                window=window or layout.coarse_window,
            )

    def _fine(self, coarse, batch, noise, progress, timings):
        layout = self.config.tokens
        rows = per_row("fine", batch.sampling.fine, batch.n_rows)
        histories = [voice and voice.fine for voice in self._voices(batch)]
        n_windows = fine_stage.n_windows(coarse, histories, layout)
        step_shape = (layout.fine_window, layout.codebook_size)
        steps = [n * layout.n_fine_codebooks for n in n_windows]
        noise = noise_of("fine", batch.seeds, noise, step_shape, steps)
        with self._running("fine", sum(n_windows), progress, timings) as run:
            return run(fine_stage.generate_fine, coarse, histories, rows["temperature"], noise)

    def _decode(self, codes, timings):
        begin = time.perf_counter()
        audio = [np.zeros(0, np.float32) for _ in codes]
        spoken = [i for i, row in enumerate(codes) if row.shape[1]]
        with self._on_device("codec") as params:
            made = encodec.decode_rows(params, [codes[i] for i in spoken], self.config.codec)
        for i, samples in zip(spoken, made, strict=True):
            audio[i] = samples
        timings["codec"] = time.perf_counter() - begin
        return audio

    @contextmanager
    def _on_device(self, stage: str) -> Iterator[Params]:
        """Parameters of a stage, with the mesh set for what is computed with them."""
        with nullcontext() if self.mesh is None else jax.set_mesh(self.mesh):
            with self._params[stage].on_device() as params:
                yield params

    @contextmanager
    def _running(self, stage, total, progress, timings) -> Iterator[Callable[..., Any]]:
        """Yields a caller of the stage's function, with parameters placed, a bar and a clock."""
        begin = time.perf_counter()
        with self._on_device(stage) as params, stage_bar(stage, total, progress) as report:

            def run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
                return function(
                    params, *args, cfg=self.config, dtypes=self.dtypes, report=report, **kwargs
                )

            yield run
        timings[stage] = time.perf_counter() - begin


def _merge_configs(by_stage: Mapping[str, BarkConfig]) -> BarkConfig:
    """One config from those of the directories that the stages come from."""
    tokens = by_stage["semantic"].tokens
    for stage, config in by_stage.items():
        if config.tokens != tokens:
            raise ValueError(f"the {stage} stage has another token layout than the semantic one")
    return dataclasses.replace(
        by_stage["semantic"], **{stage: getattr(by_stage[stage], stage) for stage in STAGES}
    )
