"""Which of Bark's languages a text is in: its voice says so, or its script and smallest words."""

import re
import unicodedata

LANGUAGES = ("de", "en", "es", "fr", "hi", "it", "ja", "ko", "pl", "pt", "ru", "tr", "zh")
LOOKED_AT = 20_000  # characters of a text that tell its language
PRESET = re.compile(r"(?:v2/)?([a-z]{2})_speaker_\d")
SCRIPTS = {
    "HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko", "DEVANAGARI": "hi", "CYRILLIC": "ru",
    "CJK": "zh",
}  # fmt: skip
SIGNS = {  # frequent words and letters, of no other language of the list in Latin letters
    "de": "der und nicht ein ist das zu mit den von auf für ich sie auch ä ß",
    "en": "the and of to is was that it in for you with he she not they",
    "es": "el los y en las por con su para una está pero más muy ñ ¿ ¡",
    "fr": "le les et des est une dans pour pas vous nous qui avec au très è ê œ",
    "it": "il di che è non per sono gli della con mi anche questo più ha",
    "pl": "się nie jest na to że do jak ale czy po już tak ą ć ę ł ń ś ź ż",
    "pt": "o os não um uma do da em mas você muito ao são está à ã õ",
    "tr": "bir ve bu için çok ne da de ile ama mı daha gibi var ben ğ ı ş",
}


def guess_language(text: str, voice: object = None) -> str:
    """One of `LANGUAGES`.

    Suno's presets carry theirs in their name. Otherwise the script decides, with kana before
    ideographs, and among Latin letters the language with most of its small words and own letters;
    English if there are none.
    """
    if isinstance(voice, str) and (preset := PRESET.fullmatch(voice)):
        return preset[1] if preset[1] in LANGUAGES else "en"
    seen = text[:LOOKED_AT]
    counts = dict.fromkeys(SCRIPTS, 0)
    for char in seen:
        script = unicodedata.name(char, "").partition(" ")[0]
        if script in counts:
            counts[script] += 1
    n_letters = sum(char.isalpha() for char in seen)
    if counts["HIRAGANA"] + counts["KATAKANA"] > counts["CJK"] / 10:
        counts["CJK"] = 0  # Japanese mixes them
    script = max(counts, key=lambda name: counts[name])
    if counts[script] > n_letters / 4:
        return SCRIPTS[script]
    folded = seen.casefold()
    signs = re.findall(r"\w+", folded) + [char for char in folded if not char.isascii()]
    found = {
        language: sum(map(set(own.split()).__contains__, signs)) for language, own in SIGNS.items()
    }
    best = max(found, key=lambda language: found[language])
    return best if found[best] else "en"
