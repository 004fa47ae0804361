"""What a caller is told while rows are made, and how it ends one of them."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

CANCELLED = "cancelled"  # as the reason why a row has ended


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """How far a stage is, between two blocks of its steps. Rows go by their number in the call.

    Attributes:
      stage: "semantic", "coarse" or "fine".
      tokens: of each row at hand, so far: semantic tokens (N,) or codes (Q, T) int32. In the fine
        stage, frames that are still to come hold the codebook's size.
      running: the rows that are not complete.
    """

    stage: str
    tokens: Mapping[int, np.ndarray]
    running: frozenset[int]
    _cancelled: set[int] = dataclasses.field(repr=False)

    def cancel(self, row: int) -> None:
        """Ends a row here: it keeps what this stage has made so far, of the fine stage nothing.

        Later stages skip it. Its `finish_reason` is "cancelled", its audio is empty. Other rows do
        not notice.

        Raises:
          ValueError: there is no such row at hand.
        """
        if row not in self.tokens:
            raise ValueError(f"row={row!r} is not at hand; want one of {sorted(self.tokens)}")
        self._cancelled.add(row)


OnBlock = Callable[[Block], None]
Look = Callable[[Mapping[int, np.ndarray], Sequence[int]], set[int]]


@dataclasses.dataclass(frozen=True, eq=False)
class Watch:
    """Tells `on_block` of the rows of a batch, and knows which of them it has cancelled."""

    on_block: OnBlock
    rows: Sequence[int]  # their numbers in the call
    cancelled: set[int] = dataclasses.field(default_factory=set)  # numbers in the call

    def take(self, rows: Sequence[int]) -> "Watch":
        """That of these rows of the batch only."""
        return dataclasses.replace(self, rows=[self.rows[i] for i in rows])

    def looks_at(self, stage: str) -> Look:
        """A function of the tokens so far, by row of the batch, and of the rows that are running.

        It returns the rows of the batch that are to end.
        """

        def look(tokens: Mapping[int, np.ndarray], running: Sequence[int]) -> set[int]:
            named = {self.rows[i]: own for i, own in tokens.items()}
            is_running = frozenset(self.rows[i] for i in running)
            self.on_block(Block(stage, named, is_running - self.cancelled, self.cancelled))
            return {i for i in tokens if self.rows[i] in self.cancelled}

        return look

    def is_cancelled(self, row: int) -> bool:
        """Whether a row of the batch is."""
        return self.rows[row] in self.cancelled
