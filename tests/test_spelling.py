"""Numbers, abbreviations and signs in words."""

import pytest

from bark_jax.spelling import spell_out


@pytest.mark.parametrize(
    "text, said",
    [
        ("I have 3 cats and 1,200 fish.", "I have three cats and one thousand two hundred fish."),
        ("3.05 and -7", "three point zero five and minus seven"),
        ("room 007", "room zero zero seven"),
        ("1234567890123456", "one two three four five six seven eight nine zero one two three four five six"),  # noqa: E501
        ("on the 21st", "on the twenty first"),
        ("1/2 cup, 2 1/4 cups, 2/3, 9/0", "one half cup, two and one quarter cups, two thirds, nine slash zero"),  # noqa: E501
        ("pages 10-20, 3 x 4", "pages ten to twenty, three times four"),
        ("in 1999, 1905 and 2024", "in nineteen ninety nine, nineteen oh five and twenty twenty four"),  # noqa: E501
        ("the 1980s and the '90s", "the nineteen eighties and the nineties"),
        # times and dates
        ("at 7:30 p.m. or 7:05, not 9:00", "at seven thirty p m or seven oh five, not nine o'clock"),  # noqa: E501
        ("at 5pm, 12:00 am, 14:00", "at five p m, twelve a m, fourteen hundred hours"),
        ("0:07:09", "zero oh seven and nine seconds"),
        ("25:99", "twenty five ninety nine"),
        ("May 3rd, 2024", "may third, twenty twenty four"),
        ("the 2nd of Jan.", "the second of january"),
        ("3 Sept 2021", "the third of september twenty twenty one"),
        ("2023-12-25", "december twenty fifth, twenty twenty three"),
        ("12/25/2023", "december twenty fifth, twenty twenty three"),
        # money and measures
        ("$12.50, $1.01, $0.99", "twelve dollars and fifty cents, one dollar and one cent, ninety nine cents"),  # noqa: E501
        ("£1, €3, $3 million", "one pound, three euros, three million dollars"),
        ("20%, 25 °C, 5 km/h, 2 lbs", "twenty percent, twenty five degrees celsius, five kilometers per hour, two pounds"),  # noqa: E501
        ("555-0199 or +44 20 7946 0958", "five five five, zero one nine nine or plus four four, two zero, seven nine four six, zero nine five eight"),  # noqa: E501
        # abbreviations and capitals
        ("McDonald, PhD, has an iPhone and YouTube.", "McDonald, PhD, has an i Phone and You Tube."),  # noqa: E501
        ("Dr. Lee and Mrs Ray of Baker St. in St. Louis", "doctor Lee and missus Ray of Baker street in saint Louis"),  # noqa: E501
        ("no. 5, vs. etc.", "number five, versus et cetera."),
        ("I said no. Then: e.g. this", "I said no. Then, for example this"),
        ("NASA and the FBI, NOT me", "NASA and the F B I, NOT me"),
        ("STOP AT 5", "stop at five"),
        ("mail me@example.com & co", "mail me at example dot com and co"),
        ("https://www.example.org", "w w w dot example dot org"),
        # marks
        ("I\u2019m \u201cfine\u201d \u2014 really\u2026", "I'm fine, really."),
        ("What?! (No)... wait;", "What? No, wait"),
        ("the dogs' and 'quoted' rock 'n' roll", "the dogs' and quoted rock n roll"),
        ("caf\u00e9 na\u00efve \u2460", "cafe naive one"),
        ("\U0001f600 * _ # ~", "number"),
        ("", ""),
    ],
)  # fmt: skip
def test_text_is_said_as_people_say_it(text, said):
    assert spell_out(text) == said
    assert spell_out(said) == said


def test_words_and_marks_stay_as_they_are():
    text = "Well, I don't know, do you? Yes! It's seven o'clock."
    assert spell_out(text) == text
