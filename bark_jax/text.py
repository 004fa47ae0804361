"""Text to the padded ids of the semantic model, on the host.

Source: suno-ai/bark @f4f32d4, bark/generation.py, generate_text_semantic and _tokenize, which use
BERT's multilingual cased vocabulary.
"""

import dataclasses
import functools
import hashlib
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tokenizers

from bark_jax.config import TokenLayout
from bark_jax.letters import LETTERS_FILE, LetterSounds, read_letters, write_letters
from bark_jax.lexicon import (
    ENDINGS,
    LEXICON_FILE,
    NO_WORDS,
    Lexicon,
    forms_of,
    pronounce,
    read_lexicon,
    write_lexicon,
)
from bark_jax.numbers import shown
from bark_jax.runtime.files import read_json, write_json
from bark_jax.runtime.notices import warn
from bark_jax.spelling import spell_out

VOCAB_FILE = "vocab.txt"
MOST_CHARACTERS = 100_000  # of one text, hundreds of times what a model reads: 0.6 s to split
SETTINGS_FILE = "tokenizer_config.json"  # may lie beside it, as in Hugging Face's repositories
KEYS = {  # field of `TextSettings` -> of the file
    "is_lower_case": "do_lower_case", "spells_out": "spell_out", "follows_phones": "follow_phones",
}  # fmt: skip
REQUIRED_TOKENS = ("[UNK]", "[CLS]", "[SEP]")
# Typographic marks, and what stands for them in a vocabulary that has only plain ones.
PLAIN_MARKS = dict.fromkeys("‘’‚‛ʼ", "'") | dict.fromkeys("“”„‟", '"')  # noqa: RUF001
MOST_NAMED = 8  # unknown words in a warning, each cut at as many characters as the next says
MOST_SHOWN = 24


WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\S")  # as a lexicon has them, or any other character


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextSettings:
    """What is done to a text before it is looked up: nothing for Bark."""

    is_lower_case: bool = False
    spells_out: bool = False  # numbers, abbreviations and signs in English words
    follows_phones: bool = False  # the semantic stage may only say the lexicon's phones


class Tokenizer:
    """WordPiece without special tokens around the text; cased, as Bark's, unless the settings say.

    Control characters are dropped, CJK ideographs and punctuation are words of their own, pieces
    are the longest match in the vocabulary, words without a match or over 100 characters give
    `[UNK]`. Typographic apostrophes and quotes are read as plain ones where the vocabulary has only
    those. Words that a lexicon knows become phones, a piece each; so do all other words of the same
    letters where it is known how letters sound.
    """

    def __init__(
        self,
        vocab: dict[str, int],
        settings: TextSettings = TextSettings(),
        lexicon: Lexicon = NO_WORDS,
        letters: LetterSounds | None = None,
    ) -> None:
        """Raises ValueError if the vocabulary lacks a phone of the lexicon or the letters."""
        self.settings, self.lexicon, self.letters = settings, lexicon, letters
        self._wordpiece = tokenizers.BertWordPieceTokenizer(
            vocab, lowercase=settings.is_lower_case, strip_accents=False
        )
        self._plain_marks = str.maketrans(
            {mark: to for mark, to in PLAIN_MARKS.items() if mark not in vocab and to in vocab}
        )
        phones = {phone for phones in lexicon.values() for phone in phones}
        phones |= letters.phones if letters else set()
        forms = {phone: forms_of(phone) for phone in (phones.union(ENDINGS) if phones else phones)}
        if missing := sorted({f for pair in forms.values() for f in pair} - vocab.keys()):
            raise ValueError(f"the vocabulary lacks phones of the lexicon: {' '.join(missing)}")
        self._phone_ids = {phone: (vocab[a], vocab[b]) for phone, (a, b) in forms.items()}
        self._phones_by_id = {
            index: (phone, place == 0)
            for phone, pair in self._phone_ids.items()
            for place, index in enumerate(pair)
        }

    @classmethod
    def from_directory(cls, tokenizer_dir: str | Path) -> "Tokenizer":
        """Reads `vocab.txt`, one piece per line; the line number is the id.

        A `tokenizer_config.json` beside it may ask for lower case (`"do_lower_case": true`) and for
        numbers and abbreviations in words (`"spell_out": true`). A `lexicon.txt` says how words are
        pronounced, a `letters.npz` how the letters of all other words are.

        Raises:
          FileNotFoundError: there is no such file.
          ValueError: it is not a WordPiece vocabulary in UTF-8, the settings are not a JSON object,
            or the lexicon or the letters' file is damaged or of other phones.
        """
        directory = Path(tokenizer_dir)
        path = directory / VOCAB_FILE
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
        settings = read_text_settings(directory / SETTINGS_FILE)
        lexicon = read_lexicon(directory / LEXICON_FILE)
        return cls(vocab, settings, lexicon, read_letters(directory / LETTERS_FILE))

    def save(self, tokenizer_dir: str | Path) -> None:
        """Writes what `from_directory` reads; makes the directory."""
        directory = Path(tokenizer_dir)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / VOCAB_FILE).write_text("\n".join(self.pieces) + "\n", encoding="utf-8")
        if self.settings != TextSettings():
            write_text_settings(directory / SETTINGS_FILE, self.settings)
        if self.lexicon:
            write_lexicon(directory / LEXICON_FILE, self.lexicon)
        if self.letters:
            write_letters(directory / LETTERS_FILE, self.letters)

    def encode(self, text: str) -> list[int]:
        """Vocabulary ids of `text`, composed (NFC) first: `e` + U+0301 gives the ids of `é`."""
        plain = self._plain(text)
        if not self.lexicon:
            return self._look_up(plain).ids
        ids: list[int] = []
        for word in WORD.findall(plain):
            phones = pronounce(word.lower(), self.lexicon, self.letters)
            if phones is None:
                ids += self._look_up(word).ids
            else:
                ids += [self._phone_ids[phone][place > 0] for place, phone in enumerate(phones)]
        return ids

    def unknown_words(self, text: str) -> tuple[list[str], int]:
        """The words of `text` that give `[UNK]`, and the number of all its words."""
        plain = self._plain(text)
        encoding = self._look_up(plain)  # a word of the lexicon may lack no letter either
        unknown = [
            plain[slice(*span)]
            for span, index in zip(encoding.offsets, encoding.ids, strict=True)
            if index == self.unknown_id
        ]
        return unknown, len(set(encoding.word_ids))

    def _plain(self, text: str) -> str:
        """The text as it is looked up."""
        plain = unicodedata.normalize("NFC", text)
        if self.settings.spells_out:
            plain = spell_out(plain)
        return plain.translate(self._plain_marks)

    def _look_up(self, plain: str) -> tokenizers.Encoding:
        return self._wordpiece.encode(plain, add_special_tokens=False)

    def piece(self, index: int) -> str:
        """The piece with an id."""
        return self._wordpiece.id_to_token(index)

    def phone_of(self, index: int) -> tuple[str, bool] | None:
        """The phone that a piece stands for, and whether it begins a word; None for no phone."""
        return self._phones_by_id.get(index)

    def is_said(self, index: int) -> bool:
        """Whether a piece is a phone or letters, not a mark."""
        is_letters = self.piece(index).removeprefix("##").isalnum()
        return is_letters or index in self._phones_by_id

    @property
    def unknown_id(self) -> int:
        """The id of `[UNK]`."""
        return self._wordpiece.token_to_id("[UNK]")

    @functools.cached_property
    def sha256(self) -> str:
        """Identifies the vocabulary, wherever its file lies, and a front end other than Bark's."""
        content = "\n".join(self.pieces)
        if self.settings.spells_out:
            content += "\nspelt out"
        for word in sorted(self.lexicon):
            content += "\n" + " ".join((word, *self.lexicon[word]))
        if self.letters:
            content += "\n" + self.letters.sha256
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def pieces(self) -> list[str]:
        """The vocabulary in the order of its ids."""
        vocab = self._wordpiece.get_vocab()
        return sorted(vocab, key=lambda piece: vocab[piece])


def read_text_settings(path: Path) -> TextSettings:
    """What a `tokenizer_config.json` asks for; nothing without one."""
    asked = read_json(path) if path.is_file() else {}
    return TextSettings(**{name: bool(asked.get(key)) for name, key in KEYS.items()})


def write_text_settings(path: Path, settings: TextSettings) -> None:
    """Writes a `tokenizer_config.json`, of which transformers reads the first field as well."""
    asked = {key: getattr(settings, name) for name, key in KEYS.items()}
    write_json(path, {k: on for k, on in asked.items() if on or k == KEYS["is_lower_case"]})


def normalize_whitespace(text: str) -> str:
    """Turns every run of Unicode whitespace into one space, and removes it at the ends."""
    return re.sub(r"\s+", " ", text).strip()


def encode_text(tokenizer: Tokenizer, text: str, layout: TokenLayout) -> np.ndarray:
    """The text half of the semantic model's prompt.

    Text is cut after `layout.text_length` tokens; a warning says how much is lost. Another one
    names the words that the vocabulary lacks, or says that there is no word to follow.

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
        warn_of_unknown_words(tokenizer, text)
    elif tokenizer.settings.follows_phones and not any(map(tokenizer.is_said, ids)):
        warn(f"text={shown(text)} has no word: there is nothing to say")
    return prompt_of(ids, layout)


def prompt_of(ids: Sequence[int], layout: TokenLayout) -> np.ndarray:
    """Vocabulary ids as the model's, cut or padded to (layout.text_length,) int32."""
    ids_T = np.full(layout.text_length, layout.text_pad_token, np.int32)
    kept = ids[: layout.text_length]
    ids_T[: len(kept)] = np.asarray(kept, np.int32) + layout.text_encoding_offset
    return ids_T


def warn_of_unknown_words(tokenizer: Tokenizer, text: str) -> None:
    """Names each word once, in the order of the text, and only some of very many."""
    unknown, n_words = tokenizer.unknown_words(normalize_whitespace(text))
    if not unknown:
        return
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
      ValueError: `text` is empty, longer than `MOST_CHARACTERS`, not valid Unicode, gives no token,
        or gives a token that the model has no id for.
    """
    normalized = checked_text(text)
    if len(normalized) > MOST_CHARACTERS:
        raise ValueError(
            f"text has {len(normalized):,} characters, want at most {MOST_CHARACTERS:,}: the model "
            f"reads {layout.text_length} tokens"
        )
    ids = tokenizer.encode(normalized)
    if not ids:
        raise ValueError(
            f"text={shown(text)} gives no token: the model reads none of its characters"
        )
    if max(ids) >= (limit := layout.text_pad_token - layout.text_encoding_offset):
        raise ValueError(
            f"text={shown(text)} gives token {max(ids)}, but the model knows {limit} text tokens: "
            "the tokenizer is not this model's"
        )
    return ids
