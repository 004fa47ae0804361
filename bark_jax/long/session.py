"""Speaks the pieces of a text, wave by wave: what is ready goes into one batch.

A wave holds pieces whose history is known, those to be tried again first. Which pieces make up a
wave depends on nothing but what was said before, so a session that is restored after any wave
goes on bit by bit as if it had not been interrupted.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from bark_jax.config import BarkConfig
from bark_jax.evaluation.judges import Judge
from bark_jax.generation import Generation
from bark_jax.long.guards import Recognizer, Verdict, judge
from bark_jax.long.joining import Joiner, finish
from bark_jax.long.script import Script
from bark_jax.long.seconds import LETTERS_PER_S, letters_of, seconds_of
from bark_jax.long.splitting import Limits, Piece, split_text
from bark_jax.runtime.notices import said_before
from bark_jax.sampling_config import SamplingConfig
from bark_jax.stages.runner import StageRunner

WAVE = 2  # times the rows of a batch: pieces in a wave, so that the batch stays full
AHEAD = 4  # times the rows of a batch: pieces that may be ready before one that is tried again
LEARNT_FROM = 4  # pieces that tell the speaking rate
RATES = (5.0, 40.0)  # letters a second; beyond, something else than speech was heard
BUDGET_S = 1.0  # added to every budget: pauses and breath
LEAST_HISTORY_S = 0.5  # of a piece that the next one continues


class Model(Protocol):
    """What a session needs of `Bark`."""

    runner: StageRunner

    @property
    def config(self) -> BarkConfig: ...
    @property
    def batch_rows(self) -> int: ...
    @property
    def sampling(self) -> SamplingConfig: ...
    def stream(
        self, text: Sequence[str], *, voice: Any, seed: Any, sampling: Any, batch_rows: int
    ) -> Iterator[tuple[int, Generation]]: ...


@dataclasses.dataclass(frozen=True, eq=False)
class Take:
    """What a try of a piece gave; a voice for pieces that continue it."""

    piece: int | None  # of which; None: a given voice
    audio: np.ndarray  # (S,) float32
    semantic: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray


@dataclasses.dataclass(eq=False)
class Held:
    """A piece that was begun and is not yet written."""

    tries: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    chosen: int = 0  # the best try so far
    take: Take | None = None  # of that try
    is_done: bool = False


class Session:
    """The state of a long text on its way to audio. `step` until `is_done`."""

    def __init__(
        self,
        bark: Model,
        script: Script,
        given: Mapping[str | None, Any],
        batch_rows: int,
        recognizer: Recognizer | None = None,
        judge_of: Callable[[Any], Judge] | None = None,
    ) -> None:
        """`given` holds the resolved voice of every speaker that has one; None is the narrator.

        Args:
          judge_of: the judge of pieces that are spoken in a voice.
        """
        self._bark, self._script, self._given, self._rows = bark, script, given, batch_rows
        self._recognizer, self._judge_of = recognizer, judge_of
        self.letters_per_s = script.settings.letters_per_s
        self.pieces = self._split(0, None)
        self.rows: list[dict[str, Any]] = []  # of the manifest: the pieces that are written
        self.held: dict[int, Held] = {}
        self.histories: dict[int, Take | None] = {}  # of pieces that others will continue
        self.joiner = Joiner(bark.config.sample_rate, script.settings)
        self._sources = self._find_sources()

    @property
    def is_done(self) -> bool:
        return len(self.rows) == len(self.pieces)

    @property
    def expected_s(self) -> tuple[float, float]:
        """Estimated seconds of what is done, and of the whole text."""
        done = [*range(len(self.rows)), *(i for i, held in self.held.items() if held.is_done)]
        seconds = [piece.seconds for piece in self.pieces]
        return sum(seconds[i] for i in done), sum(seconds)

    def step(self, report: Callable[[], None] = lambda: None) -> np.ndarray:
        """Speaks one wave; the samples (S,) that are final after it.

        Args:
          report: called whenever a piece is ready.
        """
        with said_before():  # of unknown words, for the whole text
            for index, made in self._speak(self._ready()):
                self._take(index, made)
                report()
        self._learn_rate()
        samples = self._write()
        return np.concatenate([samples, self.joiner.close()]) if self.is_done else samples

    @property
    def sample_rate(self) -> int:
        return self._bark.config.sample_rate

    def state(self) -> dict[str, np.ndarray]:
        """Everything that later waves depend on, as arrays."""
        takes = {f"history_{index}": take for index, take in self.histories.items() if take}
        takes |= {f"held_{index}": held.take for index, held in self.held.items() if held.take}
        plain = {
            "pieces": [dataclasses.asdict(piece) for piece in self.pieces],
            "rows": self.rows,
            "held": {
                index: {"tries": held.tries, "chosen": held.chosen, "is_done": held.is_done}
                for index, held in self.held.items()
            },
            "histories": {
                index: {"is_there": take is not None, "piece": take and take.piece}
                for index, take in self.histories.items()
            },
            "letters_per_s": self.letters_per_s,
            "joiner": [self.joiner.n_samples, self.joiner.speaker, self.joiner.is_empty],
        }
        return {
            "plain": np.frombuffer(json.dumps(plain).encode(), np.uint8),
            "tail": self.joiner.tail,
            **{
                f"{name}_{part}": array
                for name, take in takes.items()
                for part, array in vars(take).items()
                if part != "piece"
            },
        }

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Sets the session to what `state` gave."""

        def take(name: str, piece: int | None) -> Take:
            parts = ("audio", "semantic", "coarse", "fine")
            return Take(piece, *(arrays[f"{name}_{part}"] for part in parts))

        plain = json.loads(arrays["plain"].tobytes())
        self.pieces = [Piece(**piece) for piece in plain["pieces"]]
        self.rows = plain["rows"]
        self.letters_per_s = plain["letters_per_s"]
        self.held = {
            int(index): Held(**held, take=take(f"held_{index}", int(index)))
            for index, held in plain["held"].items()
        }
        self.histories = {
            int(index): take(f"history_{index}", own["piece"]) if own["is_there"] else None
            for index, own in plain["histories"].items()
        }
        self.joiner.tail = arrays["tail"]
        self.joiner.n_samples, self.joiner.speaker, self.joiner.is_empty = plain["joiner"]
        self._sources = self._find_sources()

    def _split(self, start: int, speaker: str | None) -> list[Piece]:
        script = self._script
        rate = self.letters_per_s or LETTERS_PER_S
        return split_text(
            script.text,
            language=script.language,
            speakers=script.voices.keys(),
            limits=Limits.of(self._bark.config.tokens, self._bark.runner.tokenizer, rate),
            merge=script.settings.merge,
            start=start,
            speaker=speaker,
        )

    def _find_sources(self) -> list[int | None]:
        """For each piece the one that it continues; None: its speaker's voice, or none."""
        settings, sources = self._script.settings, []
        spoken: dict[str | None, list[int]] = {}
        for index, piece in enumerate(self.pieces):
            before = spoken.setdefault(piece.speaker, [])
            is_renewed = settings.mode == "anchor" or (
                settings.mode == "reanchor" and len(before) % settings.reanchor_every == 0
            )
            anchor = before[0] if before and piece.speaker not in self._given else None
            first_voice = not before or (is_renewed and anchor is None)
            sources.append(None if first_voice else anchor if is_renewed else before[-1])
            before.append(index)
        return sources

    def _ready(self) -> list[int]:
        """The next wave, in the order of the text."""
        rows, begin = self._rows, len(self.rows)
        window = range(begin, min(len(self.pieces), begin + AHEAD * rows))
        ready = [
            index
            for index in window
            if not (index in self.held and self.held[index].is_done)
            and (self._sources[index] is None or self._sources[index] in self.histories)
        ]
        return ready[: WAVE * rows]

    def _continued(self, index: int) -> int | None:
        """The number of the piece that is a piece's history."""
        source = self._sources[index]
        history = None if source is None else self.histories[source]
        return history and history.piece

    def _history(self, index: int) -> Any:
        source = self._sources[index]
        if source is None:
            return self._given.get(self.pieces[index].speaker)
        return self.histories[source]

    def _speak(self, wave: Sequence[int]) -> Iterator[tuple[int, Generation]]:
        """One try of every piece of the wave; yields as they end."""
        # few batch sizes, because each is compiled
        rows = min(self._rows, 2 ** (len(wave).bit_length() - 1))
        values = [self._script.sampling_of(self._budget_s(index)) for index in wave]
        made = self._bark.stream(
            [self.pieces[index].text for index in wave],
            voice=[self._history(index) for index in wave],
            seed=[self._script.seed_of(index, self._n_tries(index)) for index in wave],
            sampling={
                stage: {name: [row[stage][name] for row in values] for name in fields}
                for stage, fields in values[0].items()
            },
            batch_rows=rows,
        )
        for row, generation in made:
            yield wave[row], generation

    def _n_tries(self, index: int) -> int:
        return len(self.held[index].tries) if index in self.held else 0

    def _expected_s(self, index: int) -> float:
        return seconds_of(self.pieces[index].text, self.letters_per_s or LETTERS_PER_S)

    def _budget_s(self, index: int) -> float | None:
        budget = self._script.settings.budget
        return None if budget is None else round(budget * self._expected_s(index) + BUDGET_S, 3)

    def _take(self, index: int, made: Generation) -> None:
        """Judges a try, and keeps it if it is the best so far."""
        settings, layout = self._script.settings, self._bark.config.tokens
        mark = self._judge_of(self._history(index))(made) if self._judge_of else None
        verdict = judge(
            made.audio,
            made.sample_rate,
            made.semantic,
            float(layout.semantic_rate_hz),
            text=made.text,
            is_cut_off=self._script.is_cut_off(made.finish_reason, self._budget_s(index)),
            expected_s=self._expected_s(index),
            recognizer=self._recognizer,
            mark=mark,
            least_mark=settings.least_mark,
        )
        held = self.held.setdefault(index, Held())
        held.tries.append(_record(made, verdict, self._expected_s(index)))
        if held.take is None or _rank(held.tries[-1]) < _rank(held.tries[held.chosen]):
            held.chosen = len(held.tries) - 1
            held.take = Take(index, made.audio, made.semantic, made.coarse, made.fine)
        is_searching = mark is not None and settings.least_mark is None  # for the best of all tries
        is_good = not verdict.faults and not is_searching
        held.is_done = is_good or len(held.tries) >= settings.tries
        if held.is_done and index in self._sources:
            self.histories[index] = self._usable(index, held.take)

    def _usable(self, index: int, take: Take) -> Take | None:
        """What the next piece continues: this one, or its own history if it is too short."""
        least = LEAST_HISTORY_S * self._bark.config.tokens.semantic_rate_hz
        if len(take.semantic) >= least:
            return take
        own = self._history(index)
        if own is None or isinstance(own, Take):
            return own
        return Take(None, take.audio[:0], own.semantic, own.coarse, own.fine)

    def _learn_rate(self) -> None:
        """Splits the rest of the text anew once some pieces have told how fast the voice is."""
        done = [held for held in self.held.values() if held.is_done]
        n_done = len(self.rows) + len(done)
        if self.letters_per_s is not None or n_done < min(LEARNT_FROM, len(self.pieces)):
            return
        heard = [row["tries"][row["chosen"]] | {"text": row["text"]} for row in self.rows]
        heard += [
            held.tries[held.chosen] | {"text": self.pieces[index].text}
            for index, held in self.held.items()
            if held.is_done
        ]
        sound = [each for each in heard if not each["faults"]]
        seconds = sum(each["length_s"] for each in sound)
        if seconds == 0:
            return
        rate = sum(letters_of(each["text"]) for each in sound) / seconds
        self.letters_per_s = round(float(np.clip(rate, *RATES)), 2)
        begun = max([len(self.rows) - 1, *self.held])
        if begun + 1 < len(self.pieces):
            last = self.pieces[begun]
            self.pieces[begun + 1 :] = self._split(last.end, last.speaker)
            self._sources = self._find_sources()

    def _write(self) -> np.ndarray:
        """Joins the pieces that are next in the text and done; the samples that are final."""
        final = [np.zeros(0, np.float32)]
        while (held := self.held.get(len(self.rows))) and held.is_done:
            index = len(self.rows)
            assert held.take is not None
            piece, rate = self.pieces[index], self._bark.config.sample_rate
            finished = finish(held.take.audio, rate, self._script.settings)
            samples, begin = self.joiner.append(finished.audio, piece.speaker)
            final.append(samples)
            times = self._script.times_of(piece.begin, piece.end)
            self.rows.append(
                {
                    "text": piece.text,
                    "characters": [piece.begin, piece.end],
                    "speaker": piece.speaker,
                    "continues": self._continued(index),
                    "begin_s": round(begin / rate, 4),
                    "end_s": round((begin + len(finished.audio)) / rate, 4),
                    **({} if times is None else {"shown_s": list(times)}),
                    "trimmed_s": [round(seconds, 4) for seconds in finished.trimmed_s],
                    "gain_db": round(finished.gain_db, 2),
                    "chosen": held.chosen,
                    "tries": held.tries,
                }
            )
            del self.held[index]
        needed = {self._sources[index] for index in range(len(self.rows), len(self.pieces))}
        self.histories = {i: take for i, take in self.histories.items() if i in needed}
        return np.concatenate(final)


def _rank(tried: Mapping[str, Any]) -> tuple[float, ...]:
    """Orders tries, the best first: by their score, or, where there is a judge, by its mark."""
    if "mark" not in tried:
        return (tried["score"],)
    mark = tried["mark"]
    return (bool(tried["faults"]), math.inf if mark is None else -mark)


def _record(made: Generation, verdict: Verdict, expected_s: float) -> dict[str, Any]:
    """A try, as the manifest shows it."""
    heard, mark = verdict.word_error_rate, verdict.mark
    return {
        "seed": made.seed,
        "duration_s": round(made.duration_s, 4),
        "length_s": round(verdict.length_s, 4),
        "expected_s": round(expected_s, 2),
        "finish_reason": made.finish_reason,
        "faults": list(verdict.faults),
        **({} if heard is None else {"word_error_rate": round(heard, 3)}),
        **({} if mark is None else {"mark": round(mark, 4) if math.isfinite(mark) else None}),
        "score": round(verdict.score, 4),
    }
