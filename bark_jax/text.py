"""Text to the padded ids of the semantic model, on the host.

Source: suno-ai/bark @f4f32d4, bark/generation.py, generate_text_semantic and _tokenize, which use
BERT's multilingual cased vocabulary.
"""

import functools
import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tokenizers

from bark_jax.config import TokenLayout
from bark_jax.runtime.files import read_json
from bark_jax.runtime.notices import warn

VOCAB_FILE = "vocab.txt"
SETTINGS_FILE = "tokenizer_config.json"  # may lie beside it, as in Hugging Face's repositories
REQUIRED_TOKENS = ("[UNK]", "[CLS]", "[SEP]")
# Typographic marks, and what stands for them in a vocabulary that has only plain ones.
PLAIN_MARKS = dict.fromkeys("‘’‚‛ʼ", "'") | dict.fromkeys("“”„‟", '"')  # noqa: RUF001
MOST_NAMED = 8  # unknown words in a warning, each cut at as many characters as the next says
MOST_SHOWN = 24


class Tokenizer:
    """WordPiece without special tokens around the text; cased, as Bark's, unless `is_lower_case`.

    Control characters are dropped, CJK ideographs and punctuation are words of their own, pieces
    are the longest match in the vocabulary, words without a match or over 100 characters give
    `[UNK]`. Typographic apostrophes and quotes are read as plain ones where the vocabulary has only
    those.
    """

    def __init__(self, vocab: dict[str, int], *, is_lower_case: bool = False) -> None:
        self.is_lower_case = is_lower_case
        self._wordpiece = tokenizers.BertWordPieceTokenizer(
            vocab, lowercase=is_lower_case, strip_accents=False
        )
        self._plain_marks = str.maketrans(
            {mark: to for mark, to in PLAIN_MARKS.items() if mark not in vocab and to in vocab}
        )

    @classmethod
    def from_directory(cls, tokenizer_dir: str | Path) -> "Tokenizer":
        """Reads `vocab.txt`, one piece per line; the line number is the id.

        If a `tokenizer_config.json` beside it says `"do_lower_case": true`, text is lower-cased
        first.

        Raises:
          FileNotFoundError: there is no such file.
          ValueError: it is not a WordPiece vocabulary in UTF-8, or the settings are not a JSON
            object.
        """
        path = Path(tokenizer_dir) / VOCAB_FILE
        if not path.is_file():
            raise FileNotFoundError(
                f"the tokenizer's vocabulary {path} is missing: it is {VOCAB_FILE} of "
                "bert-base-multilingual-cased for the published Bark models"
            )
        try:
            pieces = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not a WordPiece vocabulary: {error}") from error
        vocab = {piece.rstrip("\r"): index for index, piece in enumerate(pieces)}
        if absent := [token for token in REQUIRED_TOKENS if token not in vocab]:
            raise ValueError(f"{path} is not a WordPiece vocabulary: it lacks {' '.join(absent)}")
        return cls(vocab, is_lower_case=read_lower_case(Path(tokenizer_dir) / SETTINGS_FILE))

    def save(self, tokenizer_dir: str | Path) -> None:
        """Writes what `from_directory` reads; makes the directory."""
        directory = Path(tokenizer_dir)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / VOCAB_FILE).write_text("\n".join(self.pieces) + "\n", encoding="utf-8")
        if self.is_lower_case:
            write_lower_case(directory / SETTINGS_FILE)

    def encode(self, text: str) -> list[int]:
        """Vocabulary ids of `text`, composed (NFC) first: `e` + U+0301 gives the ids of `é`."""
        return self._encoding(text)[1].ids

    def unknown_words(self, text: str) -> tuple[list[str], int]:
        """The words of `text` that give `[UNK]`, and the number of all its words."""
        plain, encoding = self._encoding(text)
        unknown = [
            plain[slice(*span)]
            for span, index in zip(encoding.offsets, encoding.ids, strict=True)
            if index == self.unknown_id
        ]
        return unknown, len(set(encoding.word_ids))

    def _encoding(self, text: str) -> tuple[str, tokenizers.Encoding]:
        """The text as it is looked up, and what is found."""
        plain = unicodedata.normalize("NFC", text).translate(self._plain_marks)
        return plain, self._wordpiece.encode(plain, add_special_tokens=False)

    @property
    def unknown_id(self) -> int:
        """The id of `[UNK]`."""
        return self._wordpiece.token_to_id("[UNK]")

    @functools.cached_property
    def sha256(self) -> str:
        """Identifies the vocabulary, wherever its file lies."""
        return hashlib.sha256("\n".join(self.pieces).encode()).hexdigest()

    @property
    def pieces(self) -> list[str]:
        """The vocabulary in the order of its ids."""
        vocab = self._wordpiece.get_vocab()
        return sorted(vocab, key=lambda piece: vocab[piece])


def read_lower_case(settings: Path) -> bool:
    """Whether a `tokenizer_config.json` asks for lower case; False without one."""
    return settings.is_file() and bool(read_json(settings).get("do_lower_case"))


def write_lower_case(settings: Path) -> None:
    """Writes a `tokenizer_config.json` that asks for lower case."""
    settings.write_text(json.dumps({"do_lower_case": True}) + "\n", encoding="utf-8")


def normalize_whitespace(text: str) -> str:
    """Turns every run of Unicode whitespace into one space, and removes it at the ends."""
    return re.sub(r"\s+", " ", text).strip()


def encode_text(tokenizer: Tokenizer, text: str, layout: TokenLayout) -> np.ndarray:
    """The text half of the semantic model's prompt.

    Text is cut after `layout.text_length` tokens; a warning says how much is lost. Another one
    names the words that the vocabulary lacks.

    Returns:
      ids_T: int32, T = layout.text_length, offset into the model's vocabulary and padded.
    Raises:
      TypeError, ValueError: as in `piece_ids`.
    """
    ids = piece_ids(tokenizer, text, layout)
    if (lost := len(ids) - layout.text_length) > 0:
        warn(
            f"text is too long: its last {lost / len(ids):.1%} are lost ({lost} of {len(ids)} "
            f"tokens; the limit is {layout.text_length})"
        )
    if tokenizer.unknown_id in ids:
        _warn_of_unknown_words(*tokenizer.unknown_words(normalize_whitespace(text)))
    return prompt_of(ids, layout)


def prompt_of(ids: Sequence[int], layout: TokenLayout) -> np.ndarray:
    """Vocabulary ids as the model's, cut or padded to (layout.text_length,) int32."""
    ids_T = np.full(layout.text_length, layout.text_pad_token, np.int32)
    kept = ids[: layout.text_length]
    ids_T[: len(kept)] = np.asarray(kept, np.int32) + layout.text_encoding_offset
    return ids_T


def _warn_of_unknown_words(unknown: Sequence[str], n_words: int) -> None:
    """Names each word once, in the order of the text, and only some of very many."""
    words = list(dict.fromkeys(unknown))
    shown = [f"{w[:MOST_SHOWN]}…" if len(w) > MOST_SHOWN else w for w in words[:MOST_NAMED]]
    more = f" and {len(words) - MOST_NAMED} more" if len(words) > MOST_NAMED else ""
    warn(
        f"the model does not know {len(unknown)} of the text's {n_words} words "
        f"({len(unknown) / n_words:.0%}): {', '.join(map(repr, shown))}{more}"
    )


def checked_text(text: str) -> str:
    """The text with `normalize_whitespace`.

    Raises:
      TypeError: `text` is not a str.
      ValueError: `text` is empty or not valid Unicode.
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}")
    if not (normalized := normalize_whitespace(text)):
        raise ValueError("text is empty")
    try:
        normalized.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"text is not valid Unicode: {error}") from error
    return normalized


def piece_ids(tokenizer: Tokenizer, text: str, layout: TokenLayout) -> list[int]:
    """Vocabulary ids of all of `text`, without the model's offset.

    Raises:
      TypeError: `text` is not a str.
      ValueError: `text` is empty, not valid Unicode, gives no token, or gives a token that the
        model has no id for.
    """
    normalized = checked_text(text)
    ids = tokenizer.encode(normalized)
    if not ids:
        raise ValueError(f"text={text!r} gives no token: it holds nothing but control characters")
    if max(ids) >= (limit := layout.text_pad_token - layout.text_encoding_offset):
        raise ValueError(
            f"text={text!r} gives token {max(ids)}, but the model knows {limit} text tokens: "
            "the tokenizer is not this model's"
        )
    return ids
