"""Tokens of all stages to scores: what is known of each row, and the passes that it needs."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from bark_jax.batching import Batch, as_rows
from bark_jax.config import TRANSFORMERS, TokenLayout
from bark_jax.decoding.noise import KeyNoise
from bark_jax.decoding.sampling import Filter
from bark_jax.generation import Generation, voice_of
from bark_jax.hooks.names import WEIGHTS, axes_of
from bark_jax.hooks.trace import Trace
from bark_jax.numbers import check_allowed
from bark_jax.sampling_config import BARK, TEMPERATURE, SamplingConfig, of_record
from bark_jax.scoring.causal import Rule, score_coarse, score_semantic
from bark_jax.scoring.fine import score_fine
from bark_jax.scoring.marks import DETAILS, Marks
from bark_jax.scoring.scores import Scores
from bark_jax.stages.checks import check_codes, check_semantic
from bark_jax.stages.coarse_plan import make_plan
from bark_jax.stages.runner import StageRunner


@dataclasses.dataclass(frozen=True)
class Tokens:
    """Tokens of one row; None for what is not known."""

    semantic: np.ndarray | None = None  # (N,)
    coarse: np.ndarray | None = None  # (q, T)
    fine: np.ndarray | None = None  # (Q, T)


def rows_of_generations(made: Sequence[Generation], voice: Any) -> tuple[dict[str, Any], list[Any]]:
    """Arguments of `Batch.of`, and the tokens of every row.

    Raises:
      ValueError: a row was made with a voice that has no name, and `voice` is not given.
    """
    voices = list(voice) if isinstance(voice, list | tuple) else [voice] * len(made)
    for row, generation in enumerate(made[: len(voices)]):
        voices[row] = voice_of(generation, voices[row])
    arguments = {
        "text": [row.text for row in made],
        "seed": [row.seed for row in made],
        "voice": voices,
        "sampling": SamplingConfig.of_rows([of_record(row.settings["sampling"]) for row in made]),
    }
    return arguments, [Tokens(row.semantic, row.coarse, row.fine) for row in made]


def rows_of_arrays(
    layout: TokenLayout, semantic: Any, coarse: Any, fine: Any
) -> tuple[tuple[list[Any], bool], list[Tokens]]:
    """The rows as `Batch.of` takes its data, and the tokens of every row, checked.

    Raises:
      ValueError: nothing to score, lists of different lengths, or tokens out of their range.
    """
    ranks = {"semantic": (semantic, 1), "coarse": (coarse, 2), "fine": (fine, 2)}
    given = {n: as_rows(n, value, rank) for n, (value, rank) in ranks.items() if value is not None}
    if not given:
        raise ValueError("nothing to score: want a generation, or some of semantic, coarse, fine")
    lengths = {name: len(rows) for name, (rows, is_batch) in given.items() if is_batch}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"lists want one entry per row and equal lengths, got {lengths}")
    n_rows = next(iter(lengths.values()), 1)
    columns = {n: rows if is_batch else rows * n_rows for n, (rows, is_batch) in given.items()}
    checked = {
        name: [_checked(name, row, layout) for row in rows] for name, rows in columns.items()
    }
    rows = [Tokens(**{name: column[i] for name, column in checked.items()}) for i in range(n_rows)]
    return (list(range(n_rows)), bool(lengths)), rows


def _checked(name: str, value: Any, layout: TokenLayout) -> np.ndarray:
    """One row of one stage; it may be empty, as `generate` may give none."""
    n_codebooks = {"coarse": layout.n_coarse_codebooks, "fine": layout.n_fine_codebooks}.get(name)
    if np.shape(value) in ((0,), (n_codebooks, 0)):
        return np.asarray(value, np.int32)
    if n_codebooks is None:
        return check_semantic(value, layout)
    return check_codes(name, value, layout, n_codebooks, n_codebooks)


def at_temperatures(batch: Batch, temperatures: Sequence[float]) -> Batch:
    """The batch with these temperatures as its only sampling values.

    Raises:
      ValueError: one of them is out of its range.
    """
    for temperature in temperatures:
        check_allowed("temperature", temperature, TEMPERATURE)
    values = {"temperature": list(temperatures)}
    sampling = SamplingConfig.of({stage: values for stage in TRANSFORMERS}).over(BARK)
    return dataclasses.replace(batch, sampling=sampling.per_row(batch.n_rows))


@dataclasses.dataclass(frozen=True)
class Scoring:
    """One batch through all stages. Each gives the marks of every row, or nothing.

    The semantic stage needs texts, the coarse stage semantic tokens and codes.
    """

    runner: StageRunner
    rows: Sequence[Tokens]
    drawn: Batch  # with the values that the tokens were drawn with; voices resolved
    under: Batch  # with the values that they are scored under
    details: Sequence[str]  # of `DETAILS`

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.details) - set(DETAILS)):
            raise ValueError(f"details={unknown} are not among {DETAILS}")

    def scores(self) -> list[Scores]:
        """Of every row."""
        Q = self.runner.config.tokens.n_coarse_codebooks
        made = {"semantic": self.semantic(), "coarse": self.coarse(), "fine": self.fine()}
        rows = [{s: marks[i] for s, marks in made.items() if marks} for i in range(len(self.rows))]
        for row in rows:
            if "coarse" in row:  # codebooks take turns
                row["coarse"] = jax.tree.map(
                    lambda leaf: leaf.reshape(-1, Q, *leaf.shape[1:]).swapaxes(0, 1), row["coarse"]
                )
        return [self._scores(row) for row in rows]

    def traces(self) -> list[Trace]:
        """What the batch wants to be kept, of every row.

        Raises:
          ValueError: it wants a stage whose tokens are not known.
        """
        wants = {"semantic": "text and semantic", "coarse": "semantic and coarse", "fine": "fine"}
        axes = axes_of(self.runner.config)
        # of a row without tokens
        empty = {
            n: np.zeros([s if isinstance(s, int) else 0 for s in axes[n]], np.float32)
            for n in self.drawn.trace
        }
        arrays: list[dict[str, np.ndarray]] = [dict(empty) for _ in self.rows]
        for stage in dict.fromkeys(name.partition(".")[0] for name in self.drawn.trace):
            if not (marks := getattr(self, stage)()):
                raise ValueError(f"names of the {stage} stage want {wants[stage]} to be given")
            for row, own in zip(arrays, marks, strict=True):
                row |= {f"{stage}.{name}": kept for name, kept in own.seen.items()}
        return [Trace({n: self._cut(n, row[n]) for n in self.drawn.trace}) for row in arrays]

    def _cut(self, name: str, kept: np.ndarray) -> np.ndarray:
        """Without the columns of a semantic row's padding, which nothing attends to."""
        if not (name.startswith("semantic.") and name.endswith(WEIGHTS)):
            return kept
        layout = self.runner.config.tokens
        return kept[..., : layout.text_length + len(kept)]

    def semantic(self) -> list[Marks]:
        """Marks (N + 1,) of the tokens and the end token."""
        tokens = [row.semantic for row in self.rows if row.semantic is not None]
        if not tokens or self.drawn.texts[0] is None:
            return []
        prompts = self.runner.prompts(self.drawn)
        rule, hooks = self._rule("semantic"), self.drawn.hooks("semantic")
        with self.runner.on_device("semantic") as params:
            static = self._static("semantic")
            return score_semantic(params, prompts, tokens, rule, hooks, **static)

    def coarse(self) -> list[Marks]:
        """Marks (Q T,), codebooks taking turns."""
        layout = self.runner.config.tokens
        tokens = [row.semantic for row in self.rows if row.semantic is not None]
        known = [row.fine if row.coarse is None else row.coarse for row in self.rows]
        codes = [c[: layout.n_coarse_codebooks] for c in known if c is not None]
        if not tokens or not codes:
            return []
        voices = [voice and (voice.semantic, voice.coarse) for voice in self.drawn.voices]
        plans = [
            make_plan(row, voice, layout, layout.max_coarse_history)
            for row, voice in zip(tokens, voices, strict=True)
        ]
        rule, hooks = self._rule("coarse"), self.drawn.hooks("coarse")
        with self.runner.on_device("coarse") as params:
            return score_coarse(params, plans, codes, rule, hooks, **self._static("coarse"))

    def fine(self) -> list[Marks]:
        """Marks (Q, T)."""
        codes = [row.fine for row in self.rows if row.fine is not None]
        if not codes:
            return []
        with self.runner.on_device("fine") as params:
            return score_fine(
                params,
                codes,
                [voice and voice.fine for voice in self.drawn.voices],
                self.drawn.sampling["fine"],
                KeyNoise.of(self.drawn.seeds, "fine"),
                self.under.sampling["fine"]["temperature"],
                n_given=self.runner.config.tokens.n_coarse_codebooks,
                is_processed=self.under is self.drawn,
                hooks=self.drawn.hooks("fine"),
                **self._static("fine"),
            )

    def _rule(self, stage: str) -> Rule:
        values = self.under.sampling[stage]
        if stage == "semantic" and self.under is self.drawn:
            values = self.runner.semantic_sampling(self.drawn)
        may_end = values.get("allow_early_stop", [True] * len(self.rows))
        return Rule(Filter.of(values), np.array(may_end))  # pyright: ignore[reportArgumentType]

    def _static(self, stage: str) -> dict[str, Any]:
        return {
            "cfg": self.runner.config,
            "execution": self.runner.execution_of(stage),
            "with_logits": "logits" in self.details,
        }

    def _scores(self, marks: dict[str, Marks]) -> Scores:
        log_p: dict[str, Any] = {
            stage: marks[stage].log_p_T if stage in marks else None for stage in TRANSFORMERS
        }
        fields = {"entropy": "entropy_T", "rank": "rank_T", "logits": "logits_TV"}
        found = {
            detail: {stage: getattr(marks[stage], fields[detail]) for stage in marks}
            for detail in self.details
        }
        return Scores(**log_p, details=found)
