"""A text of any length cut into pieces, each to be said in one go; the pieces joined are the text.

Pieces are whole sentences where those fit. Their size goes by estimated seconds, and by the text
that the model takes.
"""

import dataclasses
import itertools
import re
from collections.abc import Callable, Collection, Iterator, Sequence

from bark_jax.config import TokenLayout
from bark_jax.long.languages import LANGUAGES, guess_language
from bark_jax.long.seconds import LETTERS_PER_S, TAG, seconds_of
from bark_jax.long.sentences import has_words, split_sentences
from bark_jax.text import Tokenizer, piece_ids

FILLED = 0.8  # share of the greatest duration that a piece is planned for: estimates are rough
SHORT = 0.25  # share of that below which a piece is merged with a neighbour
STAY_TEXT = ("MAN", "WOMAN")  # labels that Bark itself was trained on
BLANK_LINE = re.compile(r"\n[^\S\n]*\n\s*")
SONG = re.compile(r"♪[^♪]*♪")
# Where a sentence that is too long is cut, the best places first.
PLACES = (
    re.compile(r"(?:[!?…;:]|(?<=[^\W\d_]{4})\.)[\"'”’»)\]]*\s+|[。！？；：।][”’」』）]*\s*"),
    re.compile(r"[,،][\"'”’»)]*\s+|[、，]\s*|\s[—–-]+\s|—"),
    re.compile(r"(?<!\.)\s+"),  # a full stop inside a sentence ends an abbreviation
    re.compile(r"\s+"),
    re.compile(r"(?<=[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])(?=[\u3040-\u9fff\uac00-\ud7af])"),
    re.compile(r"(?<=\w)(?=\w)"),
)


@dataclasses.dataclass(frozen=True)
class Piece:
    """What is said in one go."""

    text: str  # to be said, without a speaker's name
    begin: int  # characters of the whole text that it stands for: begin … end
    end: int
    speaker: str | None  # whose line it is
    seconds: float  # estimated


@dataclasses.dataclass(frozen=True)
class Limits:
    """How long a piece may be."""

    most_s: float = 12.0  # estimated; longer sentences are cut
    short_s: float = 3.0  # shorter ones are merged with a neighbour
    letters_per_s: float = LETTERS_PER_S
    fits: Callable[[str], bool] = lambda text: True  # whether the model takes a text whole

    @classmethod
    def of(
        cls, layout: TokenLayout, tokenizer: Tokenizer, letters_per_s: float = LETTERS_PER_S
    ) -> "Limits":
        """Those of a model, whose rate of speaking may be known."""

        def fits(text: str) -> bool:
            return len(piece_ids(tokenizer, text, layout)) <= layout.text_length

        most_s = FILLED * float(layout.max_semantic_tokens / layout.semantic_rate_hz)
        return cls(most_s, SHORT * most_s, letters_per_s, fits)

    def holds(self, text: str) -> bool:
        """Whether a text may be one piece."""
        text = " ".join(text.split())
        return seconds_of(text, self.letters_per_s) <= self.most_s and (
            not has_words(text) or self.fits(f"♪ {text} ♪" if "♪" in text else text)
        )

    def is_short(self, text: str) -> bool:
        return seconds_of(text, self.letters_per_s) < self.short_s


def split_text(
    text: str,
    *,
    language: str | None = None,
    speakers: Collection[str] = (),
    limits: Limits | None = None,
    merge: bool = True,
    start: int = 0,
    speaker: str | None = None,
) -> list[Piece]:
    """The pieces of a text, in order.

    Args:
      text: in any of Bark's languages.
      language: one of `LANGUAGES`; None: guessed.
      speakers: names that begin a line as `NAME: text`. Such a line, up to the next name or a blank
        line, is that speaker's; the name is not said. Those of `STAY_TEXT` need not be listed,
        and are said.
      limits: how long a piece may be; default: Bark's.
      merge: merge short sentences; False: a piece for every sentence.
      start, speaker: begin at this character, in the middle of this speaker's lines.
    Raises:
      ValueError: an unknown language.
    """
    if language is not None and language not in LANGUAGES:
        raise ValueError(f"language={language!r} is not one of {LANGUAGES}")
    language = language or guess_language(text)
    limits = limits or Limits()
    pieces: list[Piece] = []
    begin = start
    for label, content, own in _turns(text[start:], speakers, speaker):
        lead = len(label)
        for part in _parts_of_turn(content, language, limits, merge):
            end = begin + lead + len(part)
            said = _as_song(text, begin + lead, end)
            seconds = seconds_of(said, limits.letters_per_s)
            pieces.append(Piece(said, begin, end, own, seconds))
            begin, lead = end, 0
    return _without_silent(pieces)


def _turns(
    text: str, speakers: Collection[str], speaker: str | None
) -> Iterator[tuple[str, str, str | None]]:
    """(label, content, speaker) of each stretch of one speaker; joined they are the text."""
    names = "|".join(re.escape(name) for name in sorted({*speakers, *STAY_TEXT}))
    label = re.compile(rf"^[^\S\n]*({names}):(?!\S)[^\S\n]*", re.MULTILINE)
    starts = {found.start(): found for found in label.finditer(text)}
    ends = {0, len(text), *starts, *(gap.end() for gap in BLANK_LINE.finditer(text))}
    turn = ""
    for begin, end in itertools.pairwise(sorted(ends)):
        found = starts.get(begin)
        named = found[1] if found else None if begin else speaker
        if turn and (found or named != speaker):
            yield from _labelled(turn, speaker, label)
            turn = ""
        turn, speaker = turn + text[begin:end], named
    if turn:
        yield from _labelled(turn, speaker, label)


def _labelled(
    turn: str, speaker: str | None, label: re.Pattern[str]
) -> Iterator[tuple[str, str, str | None]]:
    found = label.match(turn) if speaker and speaker not in STAY_TEXT else None
    n = found.end() if found else 0
    yield turn[:n], turn[n:], speaker


def _parts_of_turn(content: str, language: str, limits: Limits, merge: bool) -> list[str]:
    """Sentences, the long ones cut and the short ones merged, rather inside a paragraph."""
    gaps = [0, *(gap.end() for gap in BLANK_LINE.finditer(content)), len(content)]
    merged: list[str] = []
    for begin, end in itertools.pairwise(gaps):
        sentences = split_sentences(content[begin:end], language) if begin < end else []
        parts = [part for sentence in sentences for part in _cut(sentence, limits)]
        merged += _merged(parts, limits, limits.is_short) if merge else parts
    if not merge:
        return merged or [content]
    return _merged(merged, limits, lambda part: limits.is_short(part * 2)) or [content]


def _merged(parts: Sequence[str], limits: Limits, is_short: Callable[[str], bool]) -> list[str]:
    """Neighbours joined where one is short and both fit."""
    merged: list[str] = []
    for part in parts:
        last = merged[-1] if merged else ""
        if last and (is_short(last) or is_short(part)) and limits.holds(last + part):
            merged[-1] += part
        else:
            merged.append(part)
    return merged


def _cut(sentence: str, limits: Limits) -> list[str]:
    """A sentence in halves, and those in halves, until they fit."""
    if limits.holds(sentence) or len(sentence.strip()) < 2:
        return [sentence]
    tags = [range(tag.start() + 1, tag.end()) for tag in TAG.finditer(sentence)]
    for place in PLACES:
        ends = [
            found.end()
            for found in place.finditer(sentence)
            if sentence[: found.end()].strip()
            and sentence[found.end() :].strip()
            and not any(found.end() in tag for tag in tags)
        ]
        # a place near the middle, or the next best kind of place
        middle = min(ends, key=lambda end: abs(2 * end - len(sentence)), default=0)
        if len(sentence) / 6 <= middle <= len(sentence) * 5 / 6 or (ends and place is PLACES[-1]):
            return _cut(sentence[:middle], limits) + _cut(sentence[middle:], limits)
    return [sentence]


def _as_song(text: str, begin: int, end: int) -> str:
    """The words of a piece; a part of a song gets the song's marks."""
    said = " ".join(text[begin:end].split())
    for song in SONG.finditer(text):
        if song.start() < begin < song.end() - 1:
            said = f"♪ {said}"
        if song.start() < end < song.end():
            said = f"{said} ♪"
    return said


def _without_silent(pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces of nothing but punctuation go with the piece before or after them."""
    kept: list[Piece] = []
    waiting: int | None = None  # where a silent beginning starts
    for piece in pieces:
        if not piece.text or not (has_words(piece.text) or TAG.search(piece.text)):
            if kept:
                kept[-1] = dataclasses.replace(kept[-1], end=piece.end)
            else:
                waiting = piece.begin if waiting is None else waiting
        else:
            kept.append(piece if waiting is None else dataclasses.replace(piece, begin=waiting))
            waiting = None
    return kept
