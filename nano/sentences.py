"""Everyday sentences with numbers, times, dates, money and names, which other texts lack.

A template is words and slots in braces; a slot becomes one of its phrases, which may have slots.
"""

import hashlib
import random
import re

SLOT = re.compile(r"\{(\w+)\}")

SLOTS: dict[str, tuple[str, ...]] = {
    "day": ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
    "number": (
        "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
        "twelve",
    ),
    "digit": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "part": ("morning", "afternoon", "evening"),
    "when": (
        "today", "tonight", "tomorrow", "tomorrow {part}", "this {part}", "on {day}",
        "on {day} {part}", "next week", "at {number} o'clock", "after lunch", "before dinner",
        "in the {part}", "again", "right now",
    ),
    "past": (
        "yesterday", "last night", "last week", "this morning", "on {day}", "yesterday {part}",
    ),
    "owner": ("my", "your", "our", "his", "her"),
    "relative": (
        "mother", "father", "brother", "sister", "family", "daughter", "friend", "teacher",
    ),
    "person": (
        "{owner} {relative}", "{owner} {relative}", "the doctor", "the driver", "the children",
        "the old man", "the young woman", "the boy", "the girl",
        "everybody", "john", "david", "robert",
    ),
    "i": ("i", "you", "we", "they"),
    "i_am": ("i am", "you are", "we are", "they are"),
    "am_i": ("am i", "are you", "are we", "are they"),
    "me": ("me", "us", "him", "her", "them"),
    "place": (
        "the station", "the garden", "the kitchen", "the market", "the office", "the hotel",
        "the airport", "the river", "the school", "the hospital", "the beach", "the park",
        "the library", "{owner} house", "the corner of the street",
    ),
    "colour": ("red", "blue", "green", "yellow", "black", "white", "brown"),
    "thing": (
        "the letter", "the book", "the money", "the picture", "the paper", "the table",
        "the bottle", "the {colour} car", "the {colour} box", "the {colour} bag", "{owner} jacket",
        "{owner} watch", "{owner} ticket",
    ),
    "food": (
        "a cup of {drink}", "a glass of {drink}", "some {drink}", "some {meal}",
        "some {meal} and {meal}", "an orange", "an apple",
    ),
    "drink": ("coffee", "tea", "water", "milk"),
    "meal": ("bread", "soup", "chicken", "rice", "fish", "cheese"),
    "house": ("the door", "the window", "the light", "the radio", "the television", "the music"),
    "weather": (
        "warm", "cold", "sunny", "cloudy", "very cold", "very warm", "nice", "wonderful",
        "terrible",
    ),
    "mood": ("happy", "tired", "hungry", "busy", "ready", "very happy", "very tired"),
    "size": ("big", "small", "beautiful", "expensive", "new", "old", "clean", "empty"),
    "bus": ("bus", "train"),
    "kind": ("big", "small", "beautiful", "new", "very expensive", "very old", "clean"),
    "do": ("open", "close", "turn on", "turn off"),
    "carry": ("bring", "give", "show", "send"),
    "go": ("go to", "drive to", "meet at", "wait at"),
    "n": tuple(map(str, range(2, 100))),
    "hundreds": tuple(map(str, range(101, 1000, 7))),
    "thousands": (
        "1,200", "2,500", "3,450", "8,000", "12,300", "25,000", "100,000", "640,000", "1,000,000",
    ),
    "hour": tuple(map(str, range(1, 13))),
    "minute": (
        "05", "10", "15", "20", "25", "30", "35", "40", "45", "50", "55", "12", "48",
    ),
    "half": ("a.m.", "p.m.", "am", "pm"),
    "time": (
        "{hour}:{minute}", "{hour}:{minute} {half}", "{hour} {half}", "{hour} o'clock", "noon",
        "midnight", "half past {hour}", "a quarter to {hour}",
    ),
    "month": (
        "January", "February", "March", "April", "May", "June", "July", "August", "September",
        "October", "November", "December",
    ),
    "date": ("{month} {dom}", "the {nth}", "the {nth} of {month}", "{month} {dom}, {year}"),
    "dom": tuple(map(str, range(1, 32))),
    "nth": (
        "1st", "2nd", "3rd", *(f"{n}th" for n in range(4, 21)), "21st", "22nd", "23rd", "30th",
    ),
    "year": tuple(map(str, (*range(1900, 2000, 3), *range(2000, 2031)))),
    "price": (
        "${n}", "${n}.50", "${n}.99", "${hundreds}", "{n} cents", "£{n}", "€{n}.25", "${thousands}",
    ),
    "first": (
        "Anna", "Ben", "Carol", "Daniel", "Emma", "Frank", "Grace", "Henry", "Irene", "Jack",
        "Karen", "Linda", "Mark", "Nancy", "Oliver", "Paul", "Rachel", "Sam", "Tom", "Victor",
        "Maria", "James", "Susan", "Peter", "Laura", "Kevin", "Alice", "George", "Julia", "Steve",
    ),
    "last": (
        "Smith", "Johnson", "Brown", "Miller", "Davis", "Wilson", "Taylor", "Clark", "Lewis",
        "Walker", "Young", "King", "Wright", "Scott", "Green", "Adams", "Nelson", "Carter",
        "Mitchell", "Turner", "Parker", "Collins", "Murphy", "Cook", "Rogers",
    ),
    "title": ("Mr.", "Mrs.", "Ms.", "Dr.", "Professor"),
    "who": (
        "{first}", "{first} {last}", "{title} {last}", "my {relative}", "{first} and {first}",
    ),
    "town": (
        "London", "Paris", "Boston", "Chicago", "Berlin", "Tokyo", "Dublin", "Madrid", "Rome",
        "Toronto", "Sydney", "New York", "San Francisco", "Seattle", "Texas", "California",
        "Germany", "France", "China", "India", "Canada", "Mexico", "Spain", "Italy",
    ),
    "unit": (
        "km", "kg", "miles", "minutes", "hours", "days", "weeks", "years", "pounds", "feet", "%",
    ),
    "things": (
        "books", "cups", "chairs", "people", "letters", "eggs", "students", "questions", "pages",
        "bottles", "boxes", "tickets", "cars", "dogs", "cats", "children",
    ),
    "weekday": (
        "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
    ),
    "learn": ("sing", "dance", "run", "play", "read", "drive"),
}  # fmt: skip

TEMPLATES = (
    "please call {me} back {when}",
    "please call {person} {when}",
    "{i} will call {me} {when}",
    "the weather is {weather} {when}",
    "it is {weather} in {place}",
    "it was {weather} {past}",
    "hello {person}",
    "good morning {person}",
    "good evening and welcome to {place} {person}",
    "hello how are you {when}",
    "hello this is {person}",
    "thank you very much {person}",
    "where is {thing}",
    "where is {person} going {when}",
    "how much is {thing}",
    "{i} would like {food} {when}",
    "would you like {food}",
    "can i have {food} please",
    "please {carry} {me} {thing}",
    "please {carry} {me} {food}",
    "can you {carry} {me} {thing} {when}",
    "please {do} {house} {when}",
    "did you {do} {house} {past}",
    "will you {do} {house} {when}",
    "{person} is at {place}",
    "{person} was at {place} {past}",
    "{person} is {mood} {when}",
    "{i_am} {mood} {when}",
    "{am_i} {mood}",
    "{i} will {go} {place} {when}",
    "let us {go} {place}",
    "do you want to {go} {place}",
    "{thing} is in {place}",
    "{i} put {thing} in {place}",
    "{i} put {food} on the table",
    "{person} has {number} {colour} apples",
    "{i} have {number} tickets for {day}",
    "the number is {digit} {digit} {digit} {digit}",
    "it is {number} o'clock",
    "the train leaves at {number} o'clock",
    "the {bus} to {place} is coming {when}",
    "the {bus} to {place} leaves {when}",
    "{place} is very {size}",
    "{thing} is {size}",
    "this is a {kind} {colour} car",
    "{person} wants to {learn} {when}",
    "{i} can {learn} and {learn}",
    "can {person} {learn}",
    "see you {when}",
    "{i} do not know {person}",
    "{i} do not understand {person}",
    "{i} lost {thing} {past}",
    "{person} found {thing} in {place}",
    "what did you say to {person} {past}",
    "what is in {thing}",
    "yes {i} will come {when}",
    "no {i} will not come {when}",
    "have a nice {part} {person}",
    "have a wonderful day {person}",
)

NUMBERS = (
    "The meeting is at {time} on {weekday}.",
    "Can you call me at {time}?",
    "My flight leaves {town} at {time} on {date}.",
    "{who} was born on {date}.",
    "It costs {price}.",
    "How can it be {price} in {town} and only {price} here?",
    "I paid {price} for {n} {things}.",
    "{who} lives at {hundreds} {last} St. in {town}.",
    "We need {n} {things} and {n} {things}.",
    "It is {n} {unit} from here to {town}.",
    "About {n}% of the {things} are gone.",
    "{who} is {n} years old.",
    "The number is {digit} {digit} {digit}, {digit} {digit} {digit} {digit}.",
    "Please call 555-01{n}.",
    "There were {thousands} people in {town} in {year}.",
    "In {year}, {who} moved to {town}.",
    "The train from {town} arrives at {time}.",
    "Is {who} coming at {time} or at {time}?",
    "Room {hundreds} is on the {nth} floor.",
    "{who} and I met in {town} on {date}.",
    "The temperature is {n} degrees today, and {n} tomorrow.",
    "Turn to page {hundreds} and read question {n}.",
    "Thank you, {who}, see you on {weekday} at {time}.",
    "Hello, this is {who} from {town}.",
    "Good morning, {who}, how are you?",
    "{who} said that {who} would be there by {time}.",
    "We sold {thousands} {things} in {month}.",
    "She ran {n} {unit} in {n} minutes.",
    "Open from {hour} a.m. to {hour} p.m., closed on {weekday}.",
    "I have known {who} since {year}.",
)


def fingerprint() -> str:
    """Tells these templates from others."""
    return hashlib.sha256(repr((SLOTS, TEMPLATES, NUMBERS)).encode()).hexdigest()


def draw(rng: random.Random) -> str:
    """One random sentence; every other one has a number, a name or a date."""
    text = rng.choice(NUMBERS if rng.random() < 0.5 else TEMPLATES)
    while found := SLOT.search(text):
        text = text[: found.start()] + rng.choice(SLOTS[found[1]]) + text[found.end() :]
    return text
