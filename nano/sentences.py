"""The sentences that nano learns: everyday English of a small, closed vocabulary.

A template is words and slots in braces; a slot becomes one of its phrases, which may have slots.
All sentences are lower case without punctuation, as the voices are given them.
"""

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


def vocabulary() -> list[str]:
    """Every word that can occur in a sentence, sorted."""
    phrases = [*TEMPLATES, *(phrase for slot in SLOTS.values() for phrase in slot)]
    return sorted({word for phrase in phrases for word in SLOT.sub(" ", phrase).split()})


def draw(rng: random.Random) -> str:
    """One random sentence."""
    text = rng.choice(TEMPLATES)
    while found := SLOT.search(text):
        text = text[: found.start()] + rng.choice(SLOTS[found[1]]) + text[found.end() :]
    return text
