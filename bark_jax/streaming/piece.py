"""One text that is heard while it is made."""

import contextlib
from collections.abc import Iterator

import numpy as np

from bark_jax.batching import Batch
from bark_jax.config import STAGES
from bark_jax.generation import Generation
from bark_jax.hooks.trace import Trace
from bark_jax.stages.chain import Timings, generate, generation_of, timed
from bark_jax.stages.codec import CHUNK, DecodeStream
from bark_jax.stages.rehearsal import rehearsing
from bark_jax.stages.runner import StageRunner
from bark_jax.stages.semantic import SemanticResult
from bark_jax.streaming.coarse_draws import CoarseDraws
from bark_jax.streaming.fine_frames import EarlyFrames, ExactFrames, FineFrames, Haste
from bark_jax.streaming.semantic_draws import SemanticDraws

Codes = Iterator[tuple[np.ndarray, bool]]  # the next frames (Q, T), and whether they are the last


class Piece:
    """The stages of one text, run in turns: each step of a stage waits only for what it reads."""

    def __init__(self, runner: StageRunner, batch: Batch, haste: Haste | None) -> None:
        """
        Args:
          batch: of one row, its voice resolved.
          haste: None: exactly the samples of `chain.generate`.
        """
        self._runner, self._batch, self._haste = runner, batch, haste
        self._timings: Timings = dict.fromkeys(STAGES, 0.0)
        self._made: tuple[SemanticResult, np.ndarray, np.ndarray]  # semantic, coarse and fine
        self.n_samples: int | None = None  # of the whole piece, as soon as that is known
        self.generation: Generation | None = None  # when it has ended

    def chunks(self) -> Iterator[np.ndarray]:
        """The samples (S,) float32 as they are ready; all at once where a stage is the user's."""
        if self._runner.own:
            (self.generation,) = generate(self._runner, self._batch)
            self.n_samples = len(self.generation.audio)
            if self.n_samples:
                yield self.generation.audio
            return
        runner, batch = self._runner, self._batch
        is_exact = self._haste is None  # its programs are those of whole stages
        with rehearsing(runner, batch) if is_exact else contextlib.nullcontext():
            yield from self._sounds(self._stages_apart() if runner.is_offloaded else self._turns())

    def _sounds(self, codes: Codes) -> Iterator[np.ndarray]:
        """The samples (S,) of codes as they come; then the whole is in `generation`."""
        chunk = CHUNK if self._haste is None else self._haste.first_frames
        decoder = DecodeStream(self._runner.config.codec, self._runner.execution, chunk=chunk)
        audio = [np.zeros(0, np.float32)]
        for codes_QT, is_last in codes:
            T = codes_QT.shape[1]
            for begin in range(0, max(T, 1), chunk):
                part_1QT = codes_QT[None, :, begin : begin + chunk]
                is_end = is_last and begin + chunk >= T
                with timed(self._timings, "codec"), self._runner.on_device("codec") as params:
                    (samples,) = decoder.decode(params, part_1QT, is_end=is_end)
                if samples.size:
                    audio.append(samples)
                    yield samples
        made, audio_S = self._made, np.concatenate(audio)
        timings = self._timings
        self.generation = generation_of(
            self._runner, self._batch, 0, *made, audio_S, timings, Trace()
        )

    def _turns(self) -> Codes:
        """Codes of all codebooks as they are final."""
        runner, timings = self._runner, self._timings
        layout = runner.config.tokens
        semantic = SemanticDraws(runner, self._batch)
        coarse = CoarseDraws(runner, self._batch, is_early=self._haste is not None)
        most = coarse.n_tokens(layout.max_semantic_tokens) // layout.n_coarse_codebooks
        frames = FineFrames(runner, self._batch, most)
        fine = ExactFrames(frames) if self._haste is None else EarlyFrames(frames, self._haste)
        is_last = False
        while not is_last:
            with timed(timings, "semantic"):
                semantic.draw(coarse.needs())
            least = coarse.n_tokens(len(semantic.tokens)) // layout.n_coarse_codebooks
            if semantic.is_end:
                self._know_length(least)
            with timed(timings, "coarse"):
                coarse.step(semantic.tokens, semantic.is_end)
            frames.extend(coarse.codes(frames.n_known))
            with timed(timings, "fine"):
                codes_QT = fine.advance(least, semantic.is_end) if least else frames.codes(0, 0)
            is_last = semantic.is_end and fine.n_done == least
            if is_last:
                self._made = semantic.result, coarse.codes(), frames.codes(0, least)
            yield codes_QT, is_last

    def _stages_apart(self) -> Codes:
        """The same where the device holds one stage at a time: only the codec's turns are left."""
        runner, batch, timings = self._runner, self._batch, self._timings
        with timed(timings, "semantic"):
            (semantic,) = runner.semantic(batch)
        with timed(timings, "coarse"):
            (coarse,) = runner.coarse([semantic.tokens], batch)
        self._know_length(coarse.shape[1])
        with timed(timings, "fine"):
            (fine,) = runner.fine([coarse], batch)
        self._made = semantic, coarse, fine
        yield fine, True

    def _know_length(self, n_frames: int) -> None:
        self.n_samples = n_frames * self._runner.config.codec.hop_length
