"""`Bark`: text to audio, in one call or stage by stage."""

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
from jax.sharding import Mesh

from bark_jax.batching import Batch, as_rows, seeds_of
from bark_jax.config import TRANSFORMERS, BarkConfig
from bark_jax.evaluation.judges import Judge, get_judge
from bark_jax.generation import Generation
from bark_jax.guidance import Guidance
from bark_jax.hooks.edits import rows_of_edits
from bark_jax.hooks.names import Axes, axes_of, drawn_axes, expand
from bark_jax.hooks.trace import Trace
from bark_jax.infilling import infilling
from bark_jax.loading import load
from bark_jax.long.guards import Recognizer
from bark_jax.long.reading import Document
from bark_jax.long.run import LongGeneration, generate_long
from bark_jax.long.settings import LongSettings
from bark_jax.numbers import COUNT, check_allowed, plain, shown
from bark_jax.runtime.compiling import enable_cache
from bark_jax.runtime.execution import DTypes
from bark_jax.runtime.progress import counted
from bark_jax.sampling_config import SamplingConfig, rows_of
from bark_jax.scoring.score import (
    Scoring,
    Tokens,
    at_temperatures,
    rows_of_arrays,
    rows_of_generations,
)
from bark_jax.scoring.scores import Scores
from bark_jax.sources.description import Description, Source
from bark_jax.sources.voice_library import VoiceLibrary
from bark_jax.stages.chain import generate
from bark_jax.stages.checks import (
    check_audio,
    check_coarse_context,
    check_codes,
    check_equal_codebooks,
    check_no_channels,
    check_processors,
    check_semantic,
)
from bark_jax.stages.guided import check_guidance
from bark_jax.stages.own import OwnCodec, OwnStage, check_no_hooks, checked_stages
from bark_jax.stages.runner import StageRunner
from bark_jax.stages.stream import stream
from bark_jax.streaming.audio_stream import AudioStream, pieces_of
from bark_jax.watching import OnBlock

Sampling = SamplingConfig | Mapping[str, Any] | None
GuidanceLike = Guidance | Mapping[str, Any] | Sequence[Guidance | Mapping[str, Any] | None] | None
Edits = Mapping[str, Any] | Sequence[Mapping[str, Any] | None] | None


class Bark:
    """A model ready to generate. Make one with `from_pretrained`.

    Every argument of `generate` and of the stages may be one value or a list with one per row;
    lists must have equal lengths. A row gives the same tokens alone and in any batch, up to float
    rounding where two scores nearly tie. A bad argument raises a `ValueError` that names it.
    """

    def __init__(self, runner: StageRunner, voices: VoiceLibrary) -> None:
        self.runner = runner
        self.voices = voices

    @classmethod
    def from_pretrained(
        cls,
        source: Source | Mapping[str, Source] | Description = "nano",
        *,
        dtype: str | DTypes | None = None,
        weights: str | Mapping[str, str] | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        mesh: Mesh | None = None,
        offload: bool = False,
        check_hashes: bool = True,
    ) -> "Bark":
        """Loads a model.

        Args:
          source: a model directory, a folder with Suno's or Hugging Face's files, a hub repository
            (`suno/bark`, `suno/bark-small`: downloaded and converted once), `"nano"`, or
            `"untrained"` (tiny, gives noise, for trying things out). A mapping
            {"semantic": …, "coarse": …, "fine": …, "codec": …} mixes sizes; stages that it lacks
            come from its "semantic" model. Or what `sources.description.describe` has found.
          dtype: "float32", "bfloat16" or a `DTypes`; None is float32 on CPU, else bfloat16. The
            codec is always float32.
          weights: "int8" or "bfloat16": the matrices of the three transformers in fewer bytes, for
            faster decoding and less memory; their values change a little (docs/performance.md). By
            stage: {"semantic": "int8", …}. None: as `dtype`.
          revision: branch, tag or commit of the hub repository.
          local_files_only: never ask the hub.
          mesh: spread over the devices of a mesh: rows of a batch over its axis "data", weights
            over its axis "model". A batch whose rows do not divide evenly is computed whole on
            every device of "data". Several processes pass equal arguments and get equal results.
          offload: keep parameters in host memory and each stage on the device only while it runs.
          check_hashes: refuse parameters that are not as they were written. Hashing runs beside
            reading; see docs/conversion.md.
        Raises:
          OSError: a model is not found or cannot be fetched; says what to do.
          ValueError: a damaged model, an unknown dtype or format of weights, or stages that do not
            fit together.
        """
        enable_cache()
        return cls(
            *load(
                source,
                dtype=dtype,
                weights=weights,
                revision=revision,
                local_files_only=local_files_only,
                mesh=mesh,
                offload=offload,
                check_hashes=check_hashes,
            )
        )

    def with_stages(
        self,
        *,
        semantic: OwnStage | None = None,
        coarse: OwnStage | None = None,
        fine: OwnStage | None = None,
        codec: OwnCodec | None = None,
    ) -> "Bark":
        """The same model with stages of your own, see `bark_jax.stages.own.OwnStage`.

        Everything that generates uses them: `generate`, `stream`, long texts, sweeps, the stages by
        themselves. They are told of no `guidance`, and `on_block` not of them; `edits` and `trace`
        of them are refused. `score`, `trace` and `encode` still mean Bark's own.

        Raises:
          ValueError: a stage cannot be called; later, where one gives what a stage does not give.
        """
        stages = {"semantic": semantic, "coarse": coarse, "fine": fine, "codec": codec}
        return Bark(self.runner.with_own(checked_stages(stages)), self.voices)

    def __repr__(self) -> str:
        sizes = ", ".join(
            f"{stage} {size.n_layer} x {size.n_embd}"
            for stage in TRANSFORMERS
            for size in [getattr(self.config, stage)]
        )
        execution = self.runner.execution
        return (
            f"Bark({sizes}, {self.sample_rate} Hz, {execution.dtypes.params} on "
            f"{execution.platform.name})"
        )

    @property
    def config(self) -> BarkConfig:
        """Sizes and token layout."""
        return self.runner.config

    @property
    def sample_rate(self) -> int:
        """Sample rate of the audio [Hz]."""
        return self.config.sample_rate

    @property
    def sampling(self) -> SamplingConfig:
        """What is drawn with where a call does not say: every value, the model's own or Bark's."""
        return self.runner.sampling

    @property
    def batch_rows(self) -> int:
        """How many rows run at a time where there are more; a measured choice for the platform."""
        return self.runner.execution.platform.batch_rows

    @overload
    def generate(
        self,
        text: str,
        *,
        voice: Any = None,
        seed: int = 0,
        sampling: Sampling = None,
        guidance: GuidanceLike = None,
        edits: Edits = None,
        trace: str | Sequence[str] = (),
        on_block: OnBlock | None = None,
        progress: bool = False,
    ) -> Generation: ...
    @overload
    def generate(
        self,
        text: str | Sequence[str],
        *,
        voice: Any = None,
        seed: int | Sequence[int] = 0,
        sampling: Sampling = None,
        guidance: GuidanceLike = None,
        edits: Edits = None,
        trace: str | Sequence[str] = (),
        on_block: OnBlock | None = None,
        progress: bool = False,
    ) -> list[Generation]: ...
    def generate(
        self,
        text: str | Sequence[str],
        *,
        voice: Any = None,
        seed: int | Sequence[int] = 0,
        sampling: Sampling = None,
        guidance: GuidanceLike = None,
        edits: Edits = None,
        trace: str | Sequence[str] = (),
        on_block: OnBlock | None = None,
        progress: bool = False,
    ) -> Generation | list[Generation]:
        """Speaks `text`.

        Args:
          text: what to say; about 13 s of speech fit into one row of Bark's.
          voice: preset name, path of an `.npz`, dict of the three prompts, `Voice`, an earlier
            `Generation`, or None for a voice drawn by the model.
          seed: equal seeds give equal tokens on one platform and dtype.
          sampling: a `SamplingConfig`, or (part of) it as nested dicts. Each value that it leaves
            out is the model's own, see `Bark.sampling`.
          guidance: a `Guidance`, or its fields as a dict; a list has one, or None, for each row.
          edits: changes inside the transformers, a dict of names of places and edits, see
            `bark_jax.hooks`; or a list of such dicts, one per row.
          trace: names of places of the semantic and the coarse stage whose values are kept as they
            are computed, in `Generation.trace`; `trace` reads more of them afterwards.
          on_block: called with a `Block` every few steps: the tokens so far, the rows that run on.
            It may cancel rows. What it raises ends the call.
          progress: show a bar per stage on stderr if that is a terminal; one bar of rows where
            there are too many for one batch.
        Returns:
          One `Generation`, or a list if any argument is a list. A row whose first semantic token
          is the end token has empty audio.
        Raises:
          ValueError: an argument is out of its range, or lists differ in length.
          OSError: a voice's file is missing, or the hub that may have it cannot be reached.
        """
        drawn = self._drawn(trace)
        batch = self._batch(
            text=text,
            voice=voice,
            seed=seed,
            sampling=sampling,
            guidance=guidance,
            edits=edits,
            trace=drawn,
            on_block=on_block,
        )
        if batch.n_rows > self.batch_rows:
            made = stream(self.runner, batch, self.batch_rows)
            rows = dict(counted(made, batch.n_rows, progress))
            return [rows[i] for i in range(batch.n_rows)]
        made = generate(self.runner, batch, progress=progress)
        return made if batch.is_list else made[0]

    def stream(
        self,
        text: Sequence[str],
        *,
        voice: Any = None,
        seed: int | Sequence[int] = 0,
        sampling: Sampling = None,
        guidance: GuidanceLike = None,
        edits: Edits = None,
        trace: str | Sequence[str] = (),
        on_block: OnBlock | None = None,
        batch_rows: int | None = None,
        progress: bool = False,
    ) -> Iterator[tuple[int, Generation]]:
        """Speaks any number of texts; yields (row, `Generation`) as rows are ready, in any order.

        A row that has ended makes room for the next one, so that the batch stays full. Results do
        not depend on how rows were grouped.

        Args:
          batch_rows: how many rows run at a time; None is `Bark.batch_rows`.
          progress: show a bar of rows on stderr if that is a terminal.

        The other arguments are those of `generate`.
        """
        drawn = self._drawn(trace)
        batch = self._batch(
            text=text,
            voice=voice,
            seed=seed,
            sampling=sampling,
            guidance=guidance,
            edits=edits,
            trace=drawn,
            on_block=on_block,
        )
        at_a_time = self.batch_rows if batch_rows is None else batch_rows
        check_allowed("batch_rows", at_a_time, COUNT)
        made = stream(self.runner, batch, at_a_time)
        return counted(made, batch.n_rows, progress)

    def generate_long(
        self,
        text: str | Document,
        *,
        voice: Any = None,
        voices: Mapping[str, Any] | None = None,
        seed: int = 0,
        sampling: Sampling = None,
        settings: LongSettings | Mapping[str, Any] | str | None = None,
        recognizer: Recognizer | None = None,
        path: str | os.PathLike[str] | None = None,
        bits: int | None = None,
        batch_rows: int | None = None,
        progress: bool = False,
    ) -> LongGeneration:
        """Speaks a text of any length, piece by piece, with checks and second tries.

        Args:
          text: any length; or a `Document` from `bark_jax.long.reading`, which may have times.
          voice: of everything that is nobody's line, see `generate`. None: that of the first piece.
          voices: by the names that begin lines, `NAME: text`; those lines lose their name. `MAN:`
            and `WOMAN:`, which need not be listed, keep it.
          seed: of the first piece; each next one has the next number.
          sampling: one value for each field, see `generate`.
          settings: a `LongSettings`, (part of) it as a dict, or "notebook": the recipe of the
            original's notebook, a sentence at a time, semantic temperature 0.6, min_eos_p 0.05.
          recognizer: (audio, sample rate) -> words; pieces that miss theirs are tried again.
          path: an audio file that is written meanwhile, with its manifest `NAME.json` beside it. An
            interrupted call is continued by an equal one, bit by bit, and memory does not grow with
            the text. None: the audio is kept in memory.
          bits: a sample of that file, see `Generation.save`.
          batch_rows: pieces under way at a time; None is `Bark.batch_rows`.
          progress: show a bar of audio seconds on stderr, or a line now and then off a terminal.
        Raises:
          ValueError: an argument is out of its range, or `NAME.json` is another file.
          OSError: a file cannot be read or written.
          InUseError: another process is writing that file.
        """
        return generate_long(
            self,
            text,
            voice=voice,
            voices=voices,
            seed=seed,
            sampling=sampling,
            settings=settings,
            recognizer=recognizer,
            path=path,
            bits=bits,
            batch_rows=batch_rows,
            progress=progress,
        )

    def stream_audio(
        self,
        text: str | Iterable[str],
        *,
        mode: str = "exact",
        voice: Any = None,
        seed: int = 0,
        sampling: Sampling = None,
        pause_s: float = 0.25,
    ) -> AudioStream:
        """Speaks one text; yields audio as it is made: float32 chunks (S,) at `sample_rate`.

        A text that the model cannot say in one go is cut into pieces. Several texts, also such as
        come one by one, are the pieces. Without a voice the first piece's is that of the others.

        Args:
          mode: "exact": a piece's chunks together are the samples of `generate(piece)`, bit by bit.
            "low_latency": the first chunk comes as soon as possible; coarse and fine codes are
            drawn with less of what follows in sight, and so differ (docs/streaming.md).
          voice: as in `generate`, one for all pieces.
          seed: of the first piece; the others count on from it.
          sampling: as in `generate`, one value each.
          pause_s: silence between two pieces [s].
        Returns:
          An iterator; it also tells `.n_samples` as soon as that is known, and `.generation`, the
          whole of the piece that has ended last.
        Raises:
          ValueError: an argument is out of its range.
          OSError: as in `generate`.
        """

        def batch_of(text: str, index: int, anchor: Generation | None) -> Batch:
            own_voice = anchor if voice is None else voice
            own_seed = (seed + index) % 2**64 if index else seed
            batch = self._batch(text=text, voice=own_voice, seed=own_seed, sampling=sampling)
            if batch.is_list:
                raise ValueError(
                    "stream_audio wants one voice, one seed and single sampling values"
                )
            return batch

        pieces = pieces_of(text, self.runner)
        return AudioStream(self.runner, pieces, batch_of, mode=mode, pause_s=pause_s)

    @overload
    def semantic(
        self,
        text: str,
        *,
        voice: Any = None,
        seed: int = 0,
        sampling: Sampling = None,
        edits: Edits = None,
        noise: Any = None,
        progress: bool = False,
    ) -> np.ndarray: ...
    @overload
    def semantic(
        self,
        text: str | Sequence[str],
        *,
        voice: Any = None,
        seed: int | Sequence[int] = 0,
        sampling: Sampling = None,
        edits: Edits = None,
        noise: Any = None,
        progress: bool = False,
    ) -> list[np.ndarray]: ...
    def semantic(
        self,
        text: str | Sequence[str],
        *,
        voice: Any = None,
        seed: int | Sequence[int] = 0,
        sampling: Sampling = None,
        edits: Edits = None,
        noise: Any = None,
        progress: bool = False,
    ) -> np.ndarray | list[np.ndarray]:
        """Text to semantic tokens (N,) int32, end token excluded; N may be 0.

        Args:
          noise: Gumbel noise (steps, semantic vocabulary + 1) that replaces the seed's; the last
            column belongs to the end token. Other arguments as in `generate`.
        """
        batch = self._batch(text=text, voice=voice, seed=seed, sampling=sampling, edits=edits)
        rows = self.runner.semantic(batch, batch.noise(noise), progress=progress)
        tokens = [row.tokens for row in rows]
        return tokens if batch.is_list else tokens[0]

    @overload
    def coarse(
        self,
        semantic: np.ndarray,
        *,
        voice: Any = None,
        seed: int = 0,
        sampling: Sampling = None,
        edits: Edits = None,
        noise: Any = None,
        max_history: int | None = None,
        window: int | None = None,
        progress: bool = False,
    ) -> np.ndarray: ...
    @overload
    def coarse(
        self,
        semantic: np.ndarray | Sequence[np.ndarray],
        *,
        voice: Any = None,
        seed: int | Sequence[int] = 0,
        sampling: Sampling = None,
        edits: Edits = None,
        noise: Any = None,
        max_history: int | None = None,
        window: int | None = None,
        progress: bool = False,
    ) -> list[np.ndarray]: ...
    def coarse(
        self,
        semantic: Any,
        *,
        voice: Any = None,
        seed: int | Sequence[int] = 0,
        sampling: Sampling = None,
        edits: Edits = None,
        noise: Any = None,
        max_history: int | None = None,
        window: int | None = None,
        progress: bool = False,
    ) -> np.ndarray | list[np.ndarray]:
        """Semantic tokens (N,) to coarse codes (2, T) int32, T = floor(75 N / 49.9).

        Args:
          semantic: integers in [0, 10_000), N > 0; a list of arrays is a batch.
          noise: Gumbel noise (2 T, codebook size), codebooks interleaved.
          max_history: coarse tokens kept in the context, 60 … 630 (default).
          window: tokens between two moves of the context, 1 … 768 - max_history; 60 by default.
        """
        batch = self._batch(
            data=as_rows("semantic", semantic, 1),
            voice=voice,
            seed=seed,
            sampling=sampling,
            edits=edits,
        )
        context = check_coarse_context(max_history, window, self.config.tokens)
        codes = self.runner.coarse(
            [check_semantic(row, self.config.tokens) for row in batch.data],
            batch,
            batch.noise(noise),
            max_history=context["max_history"],
            window=context["window"],
            progress=progress,
        )
        return codes if batch.is_list else codes[0]

    @overload
    def fine(
        self,
        coarse: np.ndarray,
        *,
        voice: Any = None,
        seed: int = 0,
        sampling: Sampling = None,
        edits: Edits = None,
        noise: Any = None,
        progress: bool = False,
    ) -> np.ndarray: ...
    @overload
    def fine(
        self,
        coarse: np.ndarray | Sequence[np.ndarray],
        *,
        voice: Any = None,
        seed: int | Sequence[int] = 0,
        sampling: Sampling = None,
        edits: Edits = None,
        noise: Any = None,
        progress: bool = False,
    ) -> list[np.ndarray]: ...
    def fine(
        self,
        coarse: Any,
        *,
        voice: Any = None,
        seed: int | Sequence[int] = 0,
        sampling: Sampling = None,
        edits: Edits = None,
        noise: Any = None,
        progress: bool = False,
    ) -> np.ndarray | list[np.ndarray]:
        """Codes of the first codebooks (q, T), 1 <= q < 8, to codes (8, T) int32.

        Args:
          noise: Gumbel noise (windows x 8, 1024, codebook size), see `stages/fine.py`.
        """
        batch = self._batch(
            data=as_rows("coarse", coarse, 2),
            voice=voice,
            seed=seed,
            sampling=sampling,
            edits=edits,
        )
        most = self.config.tokens.n_fine_codebooks - 1
        rows = [check_codes("coarse", row, self.config.tokens, 1, most) for row in batch.data]
        check_equal_codebooks("coarse", rows)
        codes = self.runner.fine(rows, batch, batch.noise(noise), progress=progress)
        return codes if batch.is_list else codes[0]

    @overload
    def decode(
        self,
        codes: np.ndarray,
    ) -> np.ndarray: ...
    @overload
    def decode(
        self,
        codes: Sequence[np.ndarray],
    ) -> list[np.ndarray]: ...
    def decode(self, codes: Any) -> np.ndarray | list[np.ndarray]:
        """Codes (q, T), 1 <= q <= 32, to audio (320 T,) float32 at `sample_rate`, not clipped.

        A list of arrays is a batch. Bark's own codes have q = 8.
        """
        rows, is_list = as_rows("codes", codes, 2)
        most = self.config.codec.n_codebooks
        audio = self.runner.decode(
            [check_codes("codes", row, self.config.tokens, 1, most) for row in rows]
        )
        return audio if is_list else audio[0]

    @overload
    def encode(
        self,
        audio: np.ndarray,
    ) -> np.ndarray: ...
    @overload
    def encode(
        self,
        audio: Sequence[np.ndarray],
    ) -> list[np.ndarray]: ...
    def encode(self, audio: Any) -> np.ndarray | list[np.ndarray]:
        """Audio (S,) at `sample_rate` to codes (8, ceil(S / 320)) int32; a list is a batch.

        Samples are floats in -1 … 1, or integers (int8, uint8, int16, int32) of full scale.
        """
        check_no_channels("audio", audio)
        rows, is_list = as_rows("audio", audio, 1)
        codes = self.runner.encode([check_audio("audio", row) for row in rows])
        return codes if is_list else codes[0]

    @overload
    def score(
        self,
        generation: Generation | None = None,
        *,
        text: str | None = None,
        semantic: Any = None,
        coarse: Any = None,
        fine: Any = None,
        voice: Any = None,
        seed: int = 0,
        temperature: float = 1.0,
        sampling: Sampling = None,
        edits: Edits = None,
        as_drawn: bool = False,
        details: Sequence[str] = (),
    ) -> Scores: ...
    @overload
    def score(
        self,
        generation: Generation | Sequence[Generation] | None = None,
        *,
        text: str | Sequence[str] | None = None,
        semantic: Any = None,
        coarse: Any = None,
        fine: Any = None,
        voice: Any = None,
        seed: int | Sequence[int] = 0,
        temperature: float | Sequence[float] = 1.0,
        sampling: Sampling = None,
        edits: Edits = None,
        as_drawn: bool = False,
        details: Sequence[str] = (),
    ) -> list[Scores]: ...
    def score(
        self,
        generation: Any = None,
        *,
        text: Any = None,
        semantic: Any = None,
        coarse: Any = None,
        fine: Any = None,
        voice: Any = None,
        seed: Any = 0,
        temperature: Any = 1.0,
        sampling: Sampling = None,
        edits: Edits = None,
        as_drawn: bool = False,
        details: Sequence[str] = (),
    ) -> Scores | list[Scores]:
        """Log-probabilities of given tokens: a teacher-forced pass through each stage.

        A stage is scored where what it needs is given: the semantic stage needs `text` and
        `semantic`, the coarse stage `semantic` and `coarse` (or `fine`), the fine stage `fine`.

        Args:
          generation: one, or a list, from `generate`, in place of the tokens, text, seed and
            sampling. `voice` is needed if it was made with one that has no name.
          text: one text, or one per row.
          semantic: tokens (N,); a list of arrays is a batch, here and below.
          coarse: codes (2, T).
          fine: codes (8, T).
          voice: as in `generate`.
          seed: what the fine stage drew with. It sees frames that are no part of the result, such
            as those after the end, and they are drawn once more.
          temperature: of the distributions, one value or one per row; 0 is argmax.
          sampling: what the fine stage drew with, as `seed`; with `as_drawn` all stages.
          edits: as in `generate`; a generation's own have to be given again.
          as_drawn: score under the values of `sampling` (of a generation: its own) instead of
            `temperature`, filters and processors included.
          details: what is wanted besides, one or several of "entropy" [nat], "rank" (ids that are
            likelier) and "logits" (divided by the temperature); they are in `Scores.details`.
        Returns:
          One `Scores`, or a list if any argument is a list.
        """
        if as_drawn and any("guidance" in row.settings for row in _listed(generation)):
            raise ValueError("as_drawn=True, but a row was drawn with guidance")
        given = {"text": text, "semantic": semantic, "coarse": coarse, "fine": fine}
        drawn = {"voice": voice, "seed": seed, "sampling": sampling, "edits": edits}
        batch, rows, is_list = self._known(generation, **given, **drawn)
        temperatures = rows_of("temperature", plain(temperature), batch.n_rows)
        under = batch if as_drawn else at_temperatures(batch, temperatures)
        wanted = [details] if isinstance(details, str) else details
        made = Scoring(self.runner, rows, batch, under, wanted).scores()
        return made if is_list else made[0]

    def trace_names(self) -> dict[str, Axes]:
        """Names of all places in the transformers, and the axes of their traces.

        Axes that differ between rows have names: "step" counts draws (N + 1 in the semantic stage,
        2 T in the coarse one, codebooks taking turns), "codebook" and "frame" codes, "position"
        what a draw can attend to. The others are sizes. `bark_jax.hooks.names` has the grammar.

        >>> bark.trace_names()["semantic.h.0.resid"]
        ('step', 128)
        """
        return axes_of(self.config)

    @overload
    def trace(
        self,
        generation: Generation | None = None,
        *,
        names: str | Sequence[str],
        text: str | None = None,
        semantic: Any = None,
        coarse: Any = None,
        fine: Any = None,
        voice: Any = None,
        seed: int = 0,
        sampling: Sampling = None,
        edits: Edits = None,
    ) -> Trace: ...
    @overload
    def trace(
        self,
        generation: Generation | Sequence[Generation] | None = None,
        *,
        names: str | Sequence[str],
        text: str | Sequence[str] | None = None,
        semantic: Any = None,
        coarse: Any = None,
        fine: Any = None,
        voice: Any = None,
        seed: int | Sequence[int] = 0,
        sampling: Sampling = None,
        edits: Edits = None,
    ) -> list[Trace]: ...
    def trace(
        self,
        generation: Any = None,
        *,
        names: str | Sequence[str],
        text: Any = None,
        semantic: Any = None,
        coarse: Any = None,
        fine: Any = None,
        voice: Any = None,
        seed: Any = 0,
        sampling: Sampling = None,
        edits: Edits = None,
    ) -> Trace | list[Trace]:
        """What the transformers compute on the way to given tokens: the pass of `score`.

        Args:
          generation: one, or a list; it and all other arguments are those of `score`.
          names: of places, with wildcards: `"semantic.h.*.resid"`; `trace_names` lists them.
        Returns:
          One `Trace`, or a list if any argument is a list: arrays by name, float32, with the axes
          that `trace_names` tells. Row i of a step is what draw i was made from. Codebooks that the
          fine stage is given are NaN, as is the end's step where the model has no position for it.
        """
        given = {"text": text, "semantic": semantic, "coarse": coarse, "fine": fine}
        drawn = {"voice": voice, "seed": seed, "sampling": sampling, "edits": edits}
        wanted = expand("names", names, axes_of(self.config))
        batch, rows, is_list = self._known(generation, **given, **drawn, trace=wanted)
        made = Scoring(self.runner, rows, batch, batch, ()).traces()
        return made if is_list else made[0]

    @overload
    def infill(
        self,
        generation: Generation,
        start_s: float,
        end_s: float,
        *,
        text: str | None = None,
        voice: Any = None,
        seed: int | None = None,
        edits: Edits = None,
        progress: bool = False,
    ) -> Generation: ...
    @overload
    def infill(
        self,
        generation: Sequence[Generation],
        start_s: float | Sequence[float],
        end_s: float | Sequence[float],
        *,
        text: str | Sequence[str] | None = None,
        voice: Any = None,
        seed: int | Sequence[int] | None = None,
        edits: Edits = None,
        progress: bool = False,
    ) -> list[Generation]: ...
    def infill(
        self,
        generation: Any,
        start_s: Any,
        end_s: Any,
        *,
        text: Any = None,
        voice: Any = None,
        seed: Any = None,
        edits: Edits = None,
        progress: bool = False,
    ) -> Generation | list[Generation]:
        """Makes a part of a generation again and keeps the rest.

        All tokens outside the part are those of the generation, in every stage; the number of
        tokens stays. What the tokens before it say is continued, what follows is kept whatever the
        part has become. See docs/sampling.md for how equal the audio is.

        Args:
          generation: from `generate`, with the values that it was made with; a list is a batch.
          start_s: where the part begins [s]; tokens of which a part lies in it are drawn again.
          end_s: where it ends [s]; it may lie behind the end of the audio.
          text: of the part, in place of the generation's: the whole text, with what is kept.
          voice: as in `generate`; needed where the generation's has no name.
          seed: of the new tokens; None is the generation's plus 1.
          edits: as in `generate`; a generation's own have to be given again, {} is for none.
          progress: as in `generate`.
        Raises:
          ValueError: the part is empty or not inside the audio; a stage is not Bark's own, which
            alone keeps tokens; as in `generate`.
        """
        is_list = isinstance(generation, list | tuple)
        if not (made := _listed(generation)):
            raise ValueError(f"generation={generation!r}, want a Generation or a list of them")
        if own := self.runner.own.keys() & set(TRANSFORMERS):
            raise ValueError(f"infill keeps tokens of Bark's own stages, not of {sorted(own)}")
        given = {"text": text, "voice": voice, "seed": seed, "edits": edits}
        arguments = infilling(made, start_s, end_s, self.config.tokens, **given)
        rows = self.generate(**arguments, progress=progress)
        return rows if is_list else rows[0]

    def best_of(
        self,
        n: int,
        text: str,
        *,
        by: str | Judge,
        voice: Any = None,
        seed: int = 0,
        sampling: Sampling = None,
        progress: bool = False,
    ) -> list[tuple[float, Generation]]:
        """Speaks `text` with `n` seeds in one batch; all results with their marks, the best first.

        >>> mark, best = bark.best_of(8, "hello there", by="words")[0]

        Args:
          n: how many; row i has the seed `seed + i`.
          text: one text.
          by: a judge: a name as `bark_jax.evaluation.get_judge` takes it ("words", "likelihood",
            "dnsmos", "likeness", "module:function"), or a function of a `Generation`, where higher
            is better. NaN is worse than any number, and of equal marks the lower seed comes first.
          voice: as in `generate`, one.
          seed: of the first row.
          sampling: as in `generate`, one value each.
          progress: as in `generate`.
        Raises:
          ValueError: as in `generate`; `n` is no whole number of at least 1, an argument is a
            list, or the judge is not known.
          ImportError: the judge needs a package that is not installed.
        """
        check_allowed("n", n, COUNT)
        seeds = [(first + i) % 2**64 for first in seeds_of(seed, 1) for i in range(n)]
        if isinstance(text, list | tuple) or isinstance(voice, list | tuple):
            raise ValueError(f"best_of speaks one text in one voice, got {text!r} and {voice!r}")
        judge = get_judge(by, self, voice) if isinstance(by, str) else by
        if not callable(judge):
            raise ValueError(f"by={by!r} is neither a judge's name nor a function")
        made = self.generate(text, voice=voice, seed=seeds, sampling=sampling, progress=progress)
        marked = [(float(judge(row)), row) for row in made]
        return sorted(marked, key=lambda item: (math.isnan(item[0]), -item[0]))

    def _known(
        self,
        generation: Any,
        *,
        semantic: Any,
        coarse: Any,
        fine: Any,
        voice: Any,
        edits: Edits,
        trace: tuple[str, ...] = (),
        **arguments: Any,
    ) -> tuple[Batch, list[Tokens], bool]:
        """Tokens that are known, of a generation or from elsewhere, and whether of a list."""
        hooked = {"edits": edits, "trace": trace}
        if generation is None:
            data, rows = rows_of_arrays(self.config.tokens, semantic, coarse, fine)
            batch = self._batch(voice=voice, data=data, is_drawn=False, **arguments, **hooked)
            return batch, rows * (batch.n_rows // len(rows)), batch.is_list
        arguments, rows = rows_of_generations(_listed(generation), voice)
        is_list = isinstance(generation, list | tuple)
        return self._batch(is_drawn=False, **arguments, **hooked), rows, is_list

    def _drawn(self, names: str | Sequence[str]) -> tuple[str, ...]:
        """The names of what is kept while tokens are drawn."""
        return expand("trace", names, drawn_axes(self.config)) if len(names) else ()

    def _batch(
        self,
        *,
        voice: Any,
        sampling: Sampling,
        edits: Edits = None,
        is_drawn: bool = True,
        **arguments: Any,
    ) -> Batch:
        """Arguments of a call spread over its rows, with every voice found and checked.

        Args:
          is_drawn: by the stages in use; scores and traces are of Bark's own.
        """
        checked = rows_of_edits(edits, self.config)
        values = SamplingConfig.of(sampling).over(self.sampling)
        batch = Batch.of(voice=voice, sampling=values, edits=checked, **arguments)
        check_processors(batch.sampling, self.config.tokens)
        check_guidance(batch, self.config.tokens, self.runner.tokenizer)
        if is_drawn:
            check_no_hooks(batch, self.runner.own)
        return batch.with_voices(self.voices.resolve)


def _listed(generation: Any) -> list[Generation]:
    """One generation, several or None as a list.

    Raises:
      ValueError: something else.
    """
    several = isinstance(generation, list | tuple)
    made = list(generation) if several else [] if generation is None else [generation]
    for row in made:
        if not isinstance(row, Generation):
            raise ValueError(f"generation={shown(row)}, want a Generation or a list of them")
    return made
