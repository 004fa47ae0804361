"""From the records of a data set to a task's examples."""

from collections import defaultdict

import numpy as np

from bark_jax.data.records import RecordSource
from bark_jax.training.tasks.task import Example, Task


class Examples:
    """Makes the example of one record, after the history that inference would have.

    A history is another record of the same speaker, drawn for `task.history_share` of the
    examples, as a voice is at inference. Speakers with one record have none.
    """

    def __init__(self, source: RecordSource, task: Task) -> None:
        self.source, self.task = source, task
        self._by_speaker: dict[str, list[int]] = defaultdict(list)
        for index, speaker in enumerate(source.speakers):
            self._by_speaker[speaker].append(index)

    def __call__(self, index: int, rng: np.random.Generator) -> Example:
        """The example of record `index`; everything random in it comes from `rng`."""
        record, history = self.source[index], None
        if rng.random() < self.task.history_share:
            others = self._by_speaker[self.source.speakers[index]]
            other = others[rng.integers(len(others))]
            history = self.source[other] if other != index else None
        return self.task.example(record, history, rng)
