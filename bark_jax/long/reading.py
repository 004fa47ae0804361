"""Texts from files: plain, Markdown, and subtitles with their times."""

import dataclasses
import io
import itertools
from collections.abc import Iterator
from pathlib import Path

from bark_jax.runtime.lines import decode

SUBTITLES = {".srt": "srt", ".vtt": "vtt"}
MARKDOWN = (".md", ".markdown")


@dataclasses.dataclass(frozen=True)
class Cue:
    """A subtitle: where its text begins in the document, and when it is shown."""

    begin: int  # character
    begin_s: float
    end_s: float


@dataclasses.dataclass(frozen=True)
class Document:
    """What is to be said, and the times that its file gave."""

    text: str
    cues: tuple[Cue, ...] = ()

    def times_of(self, begin: int, end: int) -> tuple[float, float] | None:
        """From the first to the last cue of the characters begin … end [s]; None without cues."""
        within = [
            cue
            for cue, after in itertools.zip_longest(self.cues, self.cues[1:])
            if cue.begin < end and (after is None or after.begin > begin)
        ]
        return (within[0].begin_s, within[-1].end_s) if within else None


def read_document(path: Path) -> Document:
    """The text of a file in UTF-8; its suffix tells what it is (`.srt`, `.vtt`, `.md`, else text).

    Raises:
      OSError: the file cannot be read.
      ValueError: it is in another encoding, or no subtitles can be read from it.
    """
    return parse_document(decode(path.read_bytes(), str(path)), path.suffix.lower(), str(path))


def parse_document(content: str, suffix: str, name: str = "text") -> Document:
    """The text that `content` holds, whose kind `suffix` tells; `name` is for errors."""
    if suffix in SUBTITLES:
        return _from_subtitles(content, SUBTITLES[suffix], name)
    if suffix in MARKDOWN:
        return Document("\n\n".join(_markdown_blocks(content)))
    return Document(content)


def _from_subtitles(content: str, kind: str, name: str) -> Document:
    """Captions joined by spaces: sentences go on from one to the next."""
    import webvtt
    from webvtt.errors import MalformedCaptionError, MalformedFileError

    try:
        captions = webvtt.from_buffer(io.StringIO(content), format=kind).captions
    except (MalformedFileError, MalformedCaptionError) as error:
        raise ValueError(f"{name} holds no .{kind} subtitles: {error}") from error
    text, cues = "", []
    for caption in captions:
        if said := " ".join(caption.text.split()):
            cues.append(Cue(len(text), _seconds(caption.start), _seconds(caption.end)))
            text += f"{said}\n"
    return Document(text, tuple(cues))


def _seconds(time: str) -> float:
    """00:01:02.500 as 62.5."""
    hours, minutes, seconds = time.split(":")
    return 60 * (60 * int(hours) + int(minutes)) + float(seconds)


def _markdown_blocks(content: str) -> Iterator[str]:
    """The words of each paragraph, heading, list item and table row; code and HTML are left out."""
    from markdown_it import MarkdownIt

    for token in MarkdownIt("commonmark").enable("table").parse(content):
        if token.type == "inline":
            said = "".join(
                "\n" if part.type in ("softbreak", "hardbreak") else part.content
                for part in token.children or ()
                if part.type in ("text", "code_inline", "softbreak", "hardbreak", "image")
            )
            if said.strip():
                yield said
