"""What a trace gives: arrays by name."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from bark_jax.hooks.names import matching


@dataclasses.dataclass(frozen=True, eq=False)
class Trace(Mapping[str, np.ndarray]):
    """Arrays of one row, by the name of their place; `Bark.trace_names` tells their axes.

    A pattern gives all arrays that it stands for, stacked along a new first axis, such as that of
    the layers: `trace["semantic.h.*.resid"]` is (layers, steps, width).
    """

    arrays: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __getitem__(self, name: str) -> np.ndarray:
        if name in self.arrays:
            return self.arrays[name]
        names = matching(name, self.arrays)
        if not names:
            raise KeyError(f"{name!r} is not in the trace; it has {list(self.arrays)}")
        shapes = {self.arrays[each].shape for each in names}
        if len(shapes) > 1:
            raise KeyError(f"{name!r} stands for arrays of different shapes: {sorted(shapes)}")
        return np.stack([self.arrays[each] for each in names])

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}: {array.shape}" for name, array in self.arrays.items())
        return f"Trace({shapes})"
