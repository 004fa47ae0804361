"""Audio of a model under training, through the pipeline that will speak with it."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from bark_jax.generation import Generation
from bark_jax.params import Params
from bark_jax.pipeline import Bark
from bark_jax.runtime.placement import StageParams
from bark_jax.tracking import Tracker


@dataclasses.dataclass
class Sampler:
    """Speaks the same texts with the same seeds every time."""

    init: Path  # has the other stages
    stage: str
    directory: Path
    texts: Sequence[str]
    voice: str | None
    tracker: Tracker
    _base: Bark | None = None

    def __call__(self, params: Params, step: int) -> None:
        """Writes DIRECTORY/step_…/NUMBER.wav and tells the tracker."""
        if self._base is None:
            self._base = Bark.from_pretrained(self.init)
        runner = self._base.runner
        current = {**runner.params, self.stage: StageParams(_returning(params))}
        bark = Bark(dataclasses.replace(runner, params=current), self._base.voices)
        made = bark.generate(list(self.texts), voice=self.voice, seed=list(range(len(self.texts))))
        folder = self.directory / f"step_{step:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        for i, result in enumerate(cast("list[Generation]", made)):
            result.save(folder / f"{i:02d}.wav")
            self.tracker.audio(f"sample_{i}", result.audio, result.sample_rate, result.text, step)


def _returning(params: Params) -> Callable[[], Params]:
    return lambda: params
