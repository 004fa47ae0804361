"""English text as it is read aloud: numbers, times, dates, money, abbreviations and signs in words.

What comes out are words, apostrophes in them, spaces and , . ? ! alone; such a text comes back as
it is. Cardinals, ordinals and years come from num2words.
"""

import functools
import re
import unicodedata
from collections.abc import Callable

# Marks that are written in several ways, and marks of a pause.
FOLDED = {
    **dict.fromkeys("‘’‚‛ʼ`´", "'"), **dict.fromkeys("“”„‟«»", '"'), **dict.fromkeys("–−‐‑", "-"),  # noqa: RUF001
    **dict.fromkeys("—;()[]{}", ", "), "…": "...", "⁄": "/",  # noqa: RUF001
}  # fmt: skip
TITLES = {  # with a full stop, before a name
    "mr": "mister", "mrs": "missus", "ms": "miz", "dr": "doctor", "prof": "professor",
    "st": "saint", "jr": "junior", "sr": "senior", "gen": "general", "sen": "senator",
    "rev": "reverend", "capt": "captain", "sgt": "sergeant", "lt": "lieutenant", "mt": "mount",
}  # fmt: skip
SHORT = {  # with a full stop
    "etc": "et cetera", "vs": "versus", "e.g": "for example", "i.e": "that is", "a.m": "a m",
    "p.m": "p m", "u.s": "u s", "u.k": "u k", "u.s.a": "u s a", "ph.d": "p h d", "ave": "avenue",
    "blvd": "boulevard", "rd": "road", "apt": "apartment", "dept": "department",
    "inc": "incorporated", "ltd": "limited", "co": "company", "corp": "corporation",
    "approx": "approximately", "min": "minutes", "hr": "hour", "hrs": "hours", "sec": "seconds",
    "tel": "telephone", "ext": "extension", "fig": "figure", "vol": "volume", "mon": "monday",
    "tue": "tuesday", "tues": "tuesday", "wed": "wednesday", "thu": "thursday",
    "thurs": "thursday", "fri": "friday",
}  # fmt: skip
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
SHORT_MONTHS = {month[:3]: month for month in MONTHS if month != "may"} | {"sept": "september"}
CURRENCIES = {  # one and more of it, one and more of its hundredths
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}
SCALES = {  # of money
    "k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion",
    "tn": "trillion",
}  # fmt: skip
UNITS = {  # after a number
    "km": "kilometers", "cm": "centimeters", "mm": "millimeters", "kg": "kilograms",
    "mg": "milligrams", "g": "grams", "m": "meters", "l": "liters", "ml": "milliliters",
    "lb": "pounds", "lbs": "pounds", "oz": "ounces", "ft": "feet", "mi": "miles",
    "mph": "miles per hour", "km/h": "kilometers per hour", "kb": "kilobytes", "mb": "megabytes",
    "gb": "gigabytes", "tb": "terabytes", "hz": "hertz", "khz": "kilohertz", "mhz": "megahertz",
    "ghz": "gigahertz", "°c": "degrees celsius", "°f": "degrees fahrenheit", "°": "degrees",
    "%": "percent", "¢": "cents", "tsp": "teaspoons", "tbsp": "tablespoons", "bn": "billion",
}  # fmt: skip
SIGNS = {
    "&": "and", "%": "percent", "+": "plus", "=": "equals", "@": "at", "#": "number",
    "°": "degrees", "/": "slash", "÷": "divided by", "¢": "cents",
    **{sign: more for sign, (_, more, _, _) in CURRENCIES.items()},
}  # fmt: skip
EMPHASIZED = frozenset(  # short words that are words even in capitals
    "am an and any are as at be but by can did do for get go has he her him his how if in is it "
    "its let may me my new no not now of old on one or our out put say see she so the to too two "
    "up use was way we who yes you all".split()
)
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MOST_DIGITS = 15  # of a number that is said as one; of longer ones each digit is said

WHOLE = r"\d{1,3}(?:,\d{3})+(?!\d)|\d+"
NUMBER = rf"(?:{WHOLE})(?:\.\d+)?|(?<![\w.])\.\d+"
YEAR = r"1[1-9]\d\d|20\d\d"
MONTH = rf"(?:{'|'.join(MONTHS)})\b|(?:{'|'.join(SHORT_MONTHS)})\b\.?"
ORDINAL = r"(?:st|nd|rd|th)"

BEFORE_FOLDING = (  # which makes 21/2 of 2½, and x2 of x²
    (r"[¼-¾⅐-⅞]", r" \g<0> "),
    (r"(?<=\w)²", " squared"),
    (r"(?<=\w)³", " cubed"),
    (r"\((\d{3})\)\s?(?=\d{3}[-. ]\d{4})", r"\1-"),  # of a telephone number
)

Said = Callable[[re.Match[str]], str]


def spell_out(text: str) -> str:
    """The words of `text` as they are said, with its marks.

    What stands around a number says what it is: "May 3rd", "in 1999", "7:30 pm", "$4.50", "20 %",
    "1/2", "555-0199". A text all in capitals is read as one in small letters; otherwise up to five
    capitals are said one by one, unless they can be read as a word ("NASA").

    >>> spell_out("Dr. Lee paid $12.50 at 7:05 p.m.")
    'doctor Lee paid twelve dollars and fifty cents at seven oh five p m.'
    """
    for pattern, said in BEFORE_FOLDING:
        text = re.sub(pattern, said, text)
    text = "".join(FOLDED.get(sign, sign) for sign in unicodedata.normalize("NFKC", text))
    if text.isupper():
        text = text.lower()
    for pattern, said in _rules():
        text = pattern.sub(said, text)
    bare = (c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
    return _tidied("".join(bare))


def _tidied(text: str) -> str:
    """Only words, spaces and marks; of several marks in a row the strongest."""
    text = re.sub(r"[^\w',.?!]|[\d_]", " ", text)
    text = re.sub(r"(?<!\w)'|(?<![sS])'(?!\w)", " ", text)
    text = re.sub(r"\s*([,.?!])[\s,.?!]*", lambda m: _strongest(m[0]) + " ", text)
    return re.sub(r"\s+", " ", text).strip(" ,")


def _strongest(marks: str) -> str:
    return next(mark for mark in "?!.," if mark in marks)


@functools.cache
def _rules() -> tuple[tuple[re.Pattern[str], Said], ...]:
    """What is replaced by what, in this order."""
    signs = "".join(CURRENCIES)
    cased: list[tuple[str, Said]] = [
        (r"\b([A-Z][\w']+|\d+(?:st|nd|rd|th)) St\.", lambda m: f"{m[1]} street"),
        (rf"\b(?i:({_any(TITLES)}))\.(?=\s+[A-Z])", lambda m: TITLES[m[1].lower()]),
        (r"\b(Mrs?|Ms|Dr)\b(?:\.(?=\s*\S))?", lambda m: TITLES[m[1].lower()]),
        (r"\.\.+(?=\s+[a-z])", lambda m: ","),
        (r"(?<=\d)M\b", lambda m: " million"),
        (r"\b([A-Z][a-z]+) (?=[IVX]{2})(X{0,2})(IX|IV|V?I{0,3})\b", _roman),
    ]
    anyhow: list[tuple[str, Said]] = [
        # addresses
        (r"https?://", lambda m: ""),
        (r"\bwww\.", lambda m: "w w w dot "),
        (r"(?<=\w)\.(?=(?:com|org|net|edu|gov|io|co|uk|de)\b)", lambda m: " dot "),
        # ranges and money
        (r"(\d\s?[ap]\.?m\.?|:\d\d)\s?-\s?(?=\d)", lambda m: f"{m[1]} to "),
        (rf"(?<=\d)\s?-\s?(?=[{signs}])", lambda m: " to "),
        (rf"\b({YEAR})-(?=(?:{YEAR})\b)", lambda m: f"{m[1]} to "),
        (rf"(?:\bUS)?([{signs}])\s?({NUMBER})(?:\s?-\s?({NUMBER}))?"
         rf"(?:\s*(hundred|thousand|\w+illion|{_any(SCALES)})\b)?", _money),
        # abbreviations
        (r"\bno\.\s*(?=\d)", lambda m: "number "),
        (rf"(?:(?<![\d.,/])(1)|(?<=\d))\s*({_any(UNITS)})(?!\w|\s*/)"
         r"(?:(?<=[a-z])\.(?=,|\s+(?-i:[a-z])))?", _unit),
        (rf"\b({_any(SHORT)})\.(?!\w)(\s*$)?", _short),
        (r"\b([a-z](?:\.[a-z])+)\b(?:\.(?!\w)(?!\s*$))?", lambda m: m[1].replace(".", " ")),
        (r"(?<=\d)\s?([ap])m\b", lambda m: f" {m[1]} m"),
        # times and dates
        (r"\b(\d{1,2}):(\d{2})(?::(\d{2}))?\b", _time),
        (r"\b(\d{4})-(\d{1,2})-(\d{1,2})\b", lambda m: _date(m, m[2], m[3], m[1])),
        (r"\b(\d{1,2})/(\d{1,2})/(\d{4}|\d\d)\b", lambda m: _date(m, m[1], m[2], m[3])),
        (rf"\b({MONTH})\s+(\d{{1,2}}){ORDINAL}?\b(?!:)(?:(,?)\s+(\d{{4}})\b)?", _month_first),
        (rf"(?:\bthe\s+)?\b(\d{{1,2}}){ORDINAL}?\s+(?:of\s+)?({MONTH})",
         lambda m: f"the {_ordinal(m[1])} of {_month(m[2])}"),
        (r"\b(1[1-9]|20)([1-9]0)'?s\b", lambda m: f"{_cardinal(m[1])} {_decade(m[2])}"),
        (r"\b(1[1-9]00|2000)'?s\b", lambda m: f"{_said(m[1], 'year')}s"),
        (r"(?<!\d)'?\b([2-9]0)'?s\b", lambda m: _decade(m[1])),
        # other numbers
        (rf"\b({WHOLE}){ORDINAL}\b", lambda m: _ordinal(m[1].replace(",", ""))),
        (r"\b(\d+)\s+(\d)/(\d)\b", lambda m: f"{_cardinal(m[1])} and {_fraction(m[2], m[3])}"),
        (r"(?<![\d/])(\d)/(\d)(?![\d/])", lambda m: _fraction(m[1], m[2])),
        (r"(?<!\d[.,])\+?\b(?:(?:(?:\d{1,4}[- ]){1,4}|(?:\d{1,4}[-. ]){2,4})\d{4}|0\d{2,})\b",
         _digits),
        (r"(?<![\d.])\d+(?:\.\d+){2,}\b", lambda m: m[0].replace(".", " point ")),  # of a version
        (r"(?<=\d)\s?-\s?(?=\d)", lambda m: " to "),
        (r"(?<![\w.,])-(?=\d)", lambda m: "minus "),
        (r"(?<=\d)\s*[x×*]\s*(?=\d)", lambda m: " times "),  # noqa: RUF001
        (rf"(?<!\d[,.])\b({YEAR})\b(?![,.]?\d)", lambda m: _said(m[1], "year")),
        (NUMBER, lambda m: f" {_number(m[0])} "),
        # signs
        (r"\s-+\s|--+|:(?=\s|$)", lambda m: ", "),
        (r"(?<=[a-z])#", lambda m: " sharp "),
        (r"#(?=[a-z])", lambda m: " hashtag "),
        (rf"[&%+=@#°÷¢{signs}]|(?<=\w)/(?=\w)", lambda m: f" {SIGNS[m[0]]} "),
    ]  # fmt: skip
    capitals: list[tuple[str, Said]] = [
        (r"(?<=[a-z])(?<!\bMc)(?<!\bMac)(?<!\bPh)(?=[A-Z])", lambda m: " "),  # "YouTube"
        (r"\b([A-Z]{2,5})(s?)\b", _letters),
    ]
    return (
        *((re.compile(pattern), said) for pattern, said in cased),
        *((re.compile(pattern, re.IGNORECASE), said) for pattern, said in anyhow),
        *((re.compile(pattern), said) for pattern, said in capitals),
    )


def _any(words: dict[str, str]) -> str:
    """Matches any of the words, the longer ones first."""
    return "|".join(map(re.escape, sorted(words, key=len, reverse=True)))


def _short(match: re.Match[str]) -> str:
    """At the end of a text the full stop ends the sentence as well."""
    return SHORT[match[1].lower()] + ("" if match[2] is None else ".")


def _roman(match: re.Match[str]) -> str:
    """A number after a name: "World War II", "Louis XIV"."""
    if match[1].lower() in EMPHASIZED:
        return match[0]
    fives = {"IV": 4, "IX": 9}.get(match[3]) or 5 * ("V" in match[3]) + match[3].count("I")
    return f"{match[1]} {10 * len(match[2]) + fives}"


def _unit(match: re.Match[str]) -> str:
    more = UNITS[match[2].lower()]
    if not match[1]:
        return f" {more}"
    first, *others = more.split()
    return " ".join(["1", "foot" if first == "feet" else first.removesuffix("s"), *others])


def _money(match: re.Match[str]) -> str:
    sign, number, upto, scale = match.groups()
    one, more, cent, cents = CURRENCIES[sign]
    whole, _, part = number.replace(",", "").partition(".")
    if upto or scale or len(part) > 2:
        numbers = f"{_number(number)} to {_number(upto)}" if upto else _number(number)
        scale = scale and SCALES.get(scale.lower(), scale)
        return " " + " ".join(filter(None, (numbers, scale, more)))
    said = f" {_number(whole or '0')} {one if whole == '1' else more}"
    if not (n_cents := int(part.ljust(2, "0"))):
        return said
    small = f"{_cardinal(n_cents)} {cent if n_cents == 1 else cents}"
    return f"{said} and {small}" if int(whole or 0) else f" {small}"


def _time(match: re.Match[str]) -> str:
    hour, minute, second = (int(group or 0) for group in match.groups())
    if hour > 24 or minute > 59:
        return f"{_cardinal(hour)} {_cardinal(minute)}"
    said = _cardinal(hour)
    is_half_named = re.match(r"\s*[ap]\s?\.?m", match.string[match.end() :], re.IGNORECASE)
    if minute:
        said += f" oh {_cardinal(minute)}" if minute < 10 else f" {_cardinal(minute)}"
    elif not is_half_named:
        said += " o'clock" if 0 < hour <= 12 else " hundred hours"
    return f"{said} and {_cardinal(second)} seconds" if match[3] else said


def _date(match: re.Match[str], month: str, day: str, year: str) -> str:
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return match[0]
    if len(year) == 2:
        year = f"{19 if int(year) > 68 else 20}{year}"  # as POSIX reads it
    return f"{MONTHS[int(month) - 1]} {_ordinal(day)}, {_said(year, 'year')}"


def _month_first(match: re.Match[str]) -> str:
    said = f"{_month(match[1])} {_ordinal(match[2])}"
    return f"{said}{match[3]} {_said(match[4], 'year')}" if match[4] else said


def _month(name: str) -> str:
    short = name.lower().removesuffix(".")
    return SHORT_MONTHS.get(short, short)


def _fraction(above: str, below: str) -> str:
    if int(below) < 2 or not int(above):
        return f"{_cardinal(above)} slash {_cardinal(below)}"
    name = {"2": "half", "4": "quarter"}.get(below) or _ordinal(below)
    if above == "1":
        return f"one {name}"
    return f"{_cardinal(above)} {'halves' if name == 'half' else f'{name}s'}"


def _digits(match: re.Match[str]) -> str:
    """A telephone number, or one that begins with zero, with a pause between its groups."""
    groups = re.findall(r"\d+", match[0])
    said = ", ".join(" ".join(DIGITS[int(digit)] for digit in group) for group in groups)
    return f"plus {said}" if match[0].startswith("+") else said


def _number(digits: str) -> str:
    whole, _, part = digits.replace(",", "").partition(".")
    if len(whole) > MOST_DIGITS:
        return " ".join(DIGITS[int(digit)] for digit in whole)
    said = _cardinal(whole) if whole else ""
    return (
        " ".join([*said.split(), "point", *(DIGITS[int(digit)] for digit in part)])
        if part
        else said
    )


def _cardinal(value: str | int) -> str:
    return _said(value, "cardinal")


def _ordinal(value: str | int) -> str:
    return _said(value, "ordinal")


def _said(value: str | int, kind: str) -> str:
    from num2words import num2words  # only texts with numbers need it

    return num2words(int(value), lang="en", to=kind).replace("-", " ").replace(",", "")


def _decade(value: str) -> str:
    return f"{_cardinal(value).removesuffix('y')}ies"


def _letters(match: re.Match[str]) -> str:
    capitals, plural = match.groups()
    is_word = len(capitals) > 3 and re.search(r"[AEIOUY]", capitals)
    if is_word or capitals.lower() in EMPHASIZED:
        return match[0]
    return " ".join(capitals) + ("'s" if plural else "")
