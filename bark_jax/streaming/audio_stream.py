"""What `Bark.stream_audio` gives: audio in chunks, piece after piece."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sized

import numpy as np

from bark_jax.batching import Batch
from bark_jax.config import BarkConfig
from bark_jax.generation import Generation
from bark_jax.long.splitting import Limits, split_text
from bark_jax.numbers import is_finite
from bark_jax.stages.runner import StageRunner
from bark_jax.streaming.fine_frames import Haste
from bark_jax.streaming.piece import Piece

# text, number and the first piece's result -> a batch of one row
BatchOf = Callable[[str, int, Generation | None], Batch]

MODES = ("exact", "low_latency")
DOUBLINGS = 3  # of the frames that are handed out at a time


class AudioStream(Iterator[np.ndarray]):
    """Iterate over it for the chunks: float32 samples (S,), S > 0, not clipped.

    Nothing is computed but inside `next`, though programs that it will need may be compiled
    meanwhile. `close` ends it early.
    """

    def __init__(
        self,
        runner: StageRunner,
        pieces: Iterable[str],
        batch_of: BatchOf,
        *,
        mode: str,
        pause_s: float,
    ) -> None:
        """
        Args:
          pause_s: silence between two pieces [s].
        Raises:
          ValueError: `mode`, `pause_s`, or an argument of the batches.
        """
        if mode not in MODES:
            raise ValueError(f"mode={mode!r} is not one of {MODES}")
        if not is_finite(pause_s) or pause_s < 0:
            raise ValueError(f"pause_s={pause_s!r} is not allowed; want a number >= 0")
        batch_of("", 0, None)  # finds what is wrong with the arguments
        self.sample_rate = runner.config.sample_rate  # [Hz]
        self.n_samples: int | None = None  # of the whole stream, as soon as that is known
        self.generation: Generation | None = None  # of the last piece that has ended
        self._runner, self._batch_of = runner, batch_of
        self._pieces = pieces
        self._haste = haste_of(runner.config) if mode == "low_latency" else None
        self._pause = np.zeros(round(pause_s * self.sample_rate), np.float32)
        self._chunks = self._run()

    def __next__(self) -> np.ndarray:
        return next(self._chunks)

    def close(self) -> None:
        """Ends the stream; there are no more chunks."""
        self._chunks.close()

    def _run(self) -> Generator[np.ndarray]:
        n_pieces = len(self._pieces) if isinstance(self._pieces, Sized) else None
        n_before, anchor = 0, None
        for index, text in enumerate(self._pieces):
            piece = Piece(self._runner, self._batch_of(text, index, anchor), self._haste)
            pause = self._pause if n_before else self._pause[:0]
            n_begun = n_before + len(pause)
            for chunk in piece.chunks():
                if index + 1 == n_pieces and piece.n_samples is not None:
                    self.n_samples = n_begun + piece.n_samples
                if pause.size:
                    yield pause
                    pause = pause[:0]
                yield chunk
            self.generation = made = piece.generation
            if made is not None and made.audio.size:
                n_before = n_begun + len(made.audio)
                anchor = anchor or made
        self.n_samples = n_before


def pieces_of(text: str | Iterable[str], runner: StageRunner) -> Iterable[str]:
    """One text as it is if the model can say it in one go, else cut up; others as they are."""
    if not isinstance(text, str):
        if not isinstance(text, Iterable):
            raise TypeError(f"text must be a str or several, got {type(text).__name__}")
        return text
    limits = Limits.of(runner.config.tokens, runner.tokenizer)
    if limits.holds(text):
        return [text]
    return [piece.text for piece in split_text(text, limits=limits)] or [text]


def haste_of(config: BarkConfig) -> Haste:
    """The choices of `low_latency`: of the first coarse window half is handed out at first."""
    window = config.tokens.coarse_window // config.tokens.n_coarse_codebooks
    first = max(window // 2, config.codec.kernel_size)
    return Haste(
        first_frames=first,
        most_frames=first * 2**DOUBLINGS,
        lookahead_frames=window - window // 2,
        coarse_first=False,
    )
