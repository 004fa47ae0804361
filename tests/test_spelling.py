"""Numbers, abbreviations and signs in words."""

import pytest

from bark_jax.spelling import spell_out


@pytest.mark.parametrize(
    "text, said",
    [
        ("I have 3 cats and 1,200 fish.", "I have three cats and one thousand two hundred fish."),
        ("3.05 and -7", "three point zero five and minus seven"),
        ("1,014 of 3,000,000; the 1,000th", "one thousand and fourteen of three million, the one thousandth"),  # noqa: E501
        ("3.1415, .5, 2.000", "three point one four one five, point five, two point zero zero zero"),  # noqa: E501
        ("1.5M or 2 bn", "one point five million or two billion"),
        ("version 2.0.1", "version two point zero point one"),
        ("room 007", "room zero zero seven"),
        ("1234567890123456", "one two three four five six seven eight nine zero one two three four five six"),  # noqa: E501
        ("on the 21st", "on the twenty first"),
        ("1/2 cup, 2 1/4 cups, 2/3, 9/0", "one half cup, two and one quarter cups, two thirds, nine slash zero"),  # noqa: E501
        ("\u00bd cup, 2\u00bd cups", "one half cup, two and one half cups"),
        ("x\u00b2 + 6 \u00f7 2", "x squared plus six divided by two"),
        ("pages 10-20, 3 x 4", "pages ten to twenty, three times four"),
        ("World War II, Louis XIV, My IV", "World War two, Louis fourteen, My I V"),
        ("in 1999, 1905 and 2024", "in nineteen ninety nine, nineteen oh five and twenty twenty four"),  # noqa: E501
        ("the 1980s and the '90s", "the nineteen eighties and the nineties"),
        ("the 1800s, 1914-1918", "the eighteen hundreds, nineteen fourteen to nineteen eighteen"),
        # times and dates
        ("at 7:30 p.m. or 7:05, not 9:00", "at seven thirty p m or seven oh five, not nine o'clock"),  # noqa: E501
        ("at 5pm, 12:00 am, 14:00", "at five p m, twelve a m, fourteen hundred hours"),
        ("10am-5pm, 5:30-6:00", "ten a m to five p m, five thirty to six o'clock"),
        ("0:07:09", "zero oh seven and nine seconds"),
        ("25:99", "twenty five ninety nine"),
        ("May 3rd, 2024", "may third, twenty twenty four"),
        ("the 2nd of Jan.", "the second of january"),
        ("3 Sept 2021", "the third of september twenty twenty one"),
        ("2023-12-25", "december twenty fifth, twenty twenty three"),
        ("12/25/2023", "december twenty fifth, twenty twenty three"),
        ("6/5/24, 6/5/99", "june fifth, twenty twenty four, june fifth, nineteen ninety nine"),
        # money and measures
        ("$12.50, $1.01, $0.99", "twelve dollars and fifty cents, one dollar and one cent, ninety nine cents"),  # noqa: E501
        ("£1, €3, $3 million", "one pound, three euros, three million dollars"),
        ("¥100, US$5, $.99, 50¢", "one hundred yen, five dollars, ninety nine cents, fifty cents"),
        ("$10k, £1.2M, $3-5 bn", "ten thousand dollars, one point two million pounds, three to five billion dollars"),  # noqa: E501
        ("$3-$5", "three dollars to five dollars"),
        ("1 kg, 1 ft., 1°, 5 lbs. of 1 km/h", "one kilogram, one foot, one degree, five pounds of one kilometer per hour"),  # noqa: E501
        ("20%, 25 °C, 5 km/h, 2 lbs", "twenty percent, twenty five degrees celsius, five kilometers per hour, two pounds"),  # noqa: E501
        ("555-0199 or +44 20 7946 0958", "five five five, zero one nine nine or plus four four, two zero, seven nine four six, zero nine five eight"),  # noqa: E501
        ("+1 (555) 010-9999", "plus one, five five five, zero one zero, nine nine nine nine"),
        # abbreviations and capitals
        ("McDonald, PhD, has an iPhone and YouTube.", "McDonald, PhD, has an i Phone and You Tube."),  # noqa: E501
        ("Dr. Lee and Mrs Ray of Baker St. in St. Louis", "doctor Lee and missus Ray of Baker street in saint Louis"),  # noqa: E501
        ("Mr. & Mrs. Ray of Mt. Ray, 2nd St.", "mister and missus Ray of mount Ray, second street"),
        ("J.K. Lee of I.B.M.", "J K Lee of I B M."),
        ("two TVs", "two T V's"),
        ("#one in C#", "hashtag one in C sharp"),
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
