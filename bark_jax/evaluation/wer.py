"""Word error rate: how many words differ between what was heard and what was meant."""

import re
import unicodedata


def normalize(text: str) -> str:
    """Lower case, no punctuation, no [stage directions], single spaces.

    Apostrophes inside words stay: "don't" is not "dont".

    >>> normalize("Don't — [laughs] 'stop' NOW!")
    "don't stop now"
    """
    text = (
        unicodedata.normalize("NFKC", text)
        .casefold()
        .replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    )
    text = re.sub(r"\[[^\]]*\]", " ", text)
    text = re.sub(r"[^\w']|_|(?<!\w)'|'(?!\w)", " ", text)
    return " ".join(text.split())


def word_errors(reference: str, hypothesis: str) -> tuple[int, int]:
    """Substitutions, deletions and insertions, and the words of the reference.

    Case and punctuation do not count. Errors may exceed words: a rate over many utterances is the
    sum of errors over the sum of words.

    Args:
      reference: what should have been said.
      hypothesis: what was heard.
    """
    from jiwer import process_words

    meant, heard = normalize(reference), normalize(hypothesis)
    if not meant:
        return len(heard.split()), 0  # jiwer refuses an empty reference
    found = process_words(meant, heard)
    return found.substitutions + found.deletions + found.insertions, len(meant.split())
