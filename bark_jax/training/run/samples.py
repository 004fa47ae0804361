"""Audio of a model under training, through the pipeline that will speak with it."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from bark_jax.evaluation.judges import column_of, get_judge
from bark_jax.generation import Generation
from bark_jax.params import Params
from bark_jax.pipeline import Bark
from bark_jax.runtime.files import write_json
from bark_jax.runtime.placement import StageParams
from bark_jax.tracking import Tracker

MARKS_FILE = "marks.json"


@dataclasses.dataclass
class Sampler:
    """Speaks the same texts with the same seeds every time."""

    init: Path  # has the other stages
    stage: str
    directory: Path
    texts: Sequence[str]
    voice: str | None
    judges: Sequence[str]
    tracker: Tracker
    _base: Bark | None = None

    def __call__(self, params: Params, step: int) -> None:
        """Writes DIRECTORY/step_…/NUMBER.wav and the judges' marks.json; tells the tracker."""
        if self._base is None:
            self._base = Bark.from_pretrained(self.init)
        runner = self._base.runner
        current = {**runner.params, self.stage: StageParams(_returning(params))}
        bark = Bark(dataclasses.replace(runner, params=current), self._base.voices)
        seeds = list(range(len(self.texts)))
        made = cast(
            "list[Generation]", bark.generate(list(self.texts), voice=self.voice, seed=seeds)
        )
        folder = self.directory / f"step_{step:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        for i, result in enumerate(made):
            result.save(folder / f"{i:02d}.wav")
            self.tracker.audio(f"sample_{i}", result.audio, result.sample_rate, result.text, step)
        if self.judges:
            write_json(folder / MARKS_FILE, marks := self._marks(bark, made))
            means = {name: _mean(column) for name, column in marks.items()}
            self.tracker.log({f"sample_{n}": m for n, m in means.items() if m is not None}, step)

    def _marks(self, bark: Bark, made: Sequence[Generation]) -> dict[str, list[float | None]]:
        """Of every sample, by the judge's column; None for what is no number."""
        marks = {}
        for name in self.judges:
            judge = get_judge(name, bark, self.voice)
            column = [judge(row) for row in made]
            marks[column_of(name)] = [mark if math.isfinite(mark) else None for mark in column]
        return marks


def _mean(column: Sequence[float | None]) -> float | None:
    numbers = [mark for mark in column if mark is not None]
    return sum(numbers) / len(numbers) if numbers else None


def _returning(params: Params) -> Callable[[], Params]:
    return lambda: params
