"""What is to be said, by whom and how: everything that determines the audio but the model."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from bark_jax.batching import seeds_of
from bark_jax.long.languages import guess_language
from bark_jax.long.reading import Cue, Document
from bark_jax.long.settings import LongSettings, preset_sampling
from bark_jax.sampling_config import SamplingConfig, recorded
from bark_jax.text import checked_text
from bark_jax.voices import voice_name

SEED_STEP = 1 << 40  # between the tries of a piece; the pieces themselves have seeds in a row


@dataclasses.dataclass(frozen=True)
class Script:
    """The arguments of `Bark.generate_long`, checked, as plain data."""

    document: Document
    voice: str | None  # names, for the record
    voices: Mapping[str, str | None]
    seed: int
    sampling: Mapping[str, Mapping[str, Any]]  # one value for every field
    settings: LongSettings
    language: str

    @classmethod
    def of(
        cls,
        text: str | Document,
        *,
        voice: Any,
        voices: Mapping[str, Any],
        seed: Any,
        sampling: SamplingConfig | Mapping[str, Any] | None,
        settings: Any,
        own: SamplingConfig,
    ) -> "Script":
        """Checks the arguments.

        Args:
          own: the model's sampling, every value.
        Raises:
          TypeError, ValueError: one is out of its range; names it.
        """
        document = text if isinstance(text, Document) else Document(text)
        checked_text(document.text)
        chosen = LongSettings.of(settings)
        values = SamplingConfig.of(sampling).over(preset_sampling(settings)).over(own)
        return cls(
            document,
            voice_name(voice),
            {speaker: voice_name(own) for speaker, own in voices.items()},
            seeds_of(seed, 1)[0],
            values.plain(),
            chosen,
            chosen.language or guess_language(document.text, voice),
        )

    @property
    def text(self) -> str:
        return self.document.text

    def times_of(self, begin: int, end: int) -> tuple[float, float] | None:
        return self.document.times_of(begin, end)

    def seed_of(self, index: int, n_tries: int) -> int:
        """Of a try of a piece: `seed` plus the piece's number for the first."""
        return (self.seed + index + SEED_STEP * n_tries) % 2**64

    def sampling_of(self, budget_s: float | None) -> dict[str, Mapping[str, Any]]:
        """The sampling of a piece that may be this long [s]."""
        semantic = dict(self.sampling["semantic"])
        limits = [each for each in (budget_s, semantic["max_duration_s"]) if each is not None]
        semantic["max_duration_s"] = min(limits, default=None)
        return {**self.sampling, "semantic": semantic}

    def is_cut_off(self, finish_reason: str, budget_s: float | None) -> bool:
        """Whether a piece ended at a limit that was not asked for."""
        asked_s = self.sampling["semantic"]["max_duration_s"]
        if finish_reason == "eos" or not self.sampling["semantic"]["allow_early_stop"]:
            return False
        is_budget = budget_s is not None and (asked_s is None or budget_s < asked_s)
        return finish_reason == "max_tokens" or is_budget

    def content(self) -> dict[str, Any]:
        """Everything, as plain data; `document_of` reads the text of it."""
        return {
            "text": self.text,
            "seed": self.seed,
            "voice": self.voice,
            "voices": dict(self.voices),
            "sampling": recorded(self.sampling),
            "settings": {**dataclasses.asdict(self.settings), "language": self.language},
            **({"cues": [list(vars(cue).values()) for cue in self.document.cues]}
               if self.document.cues else {}),
        }  # fmt: skip


def document_of(content: Mapping[str, Any]) -> Document:
    """The document of a script's `content`."""
    return Document(content["text"], tuple(Cue(*cue) for cue in content.get("cues", ())))
