"""Sentences that somebody could say to a machine at home, from a small grammar, with the intent behind each.

A sentence is a template with its slots filled, dressed up with politeness and stories, then spoilt: with typos if it is
typed, with fillers if it is spoken. Some templates belong to two intents, so that nobody can be right about all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

# Intent and templates; the order of the intents is that of the model's output.
TEMPLATES = {
    "alarm": (
        "wake me at {time}",
        "set an alarm for {time}",
        "set a timer for {number} minutes",
        "stop it",
        "no {time}",
    ),
    "lights": (
        "turn the {room} lights {on}",
        "make it {level} in the {room}",
        "lights {on}",
        "turn it {on}",
        "stop it",
    ),
    "heating": (
        "set the {room} to {number} degrees",
        "make it {warm} in the {room}",
        "turn it {on}",
        "it is too {warm}",
    ),
    "message": ("tell {person} that {news}", "write {person} {news}", "read me what {person} wrote", "call {person}"),
    "music": ("play some {genre}", "play {genre} in the {room}", "turn it {level}", "skip this one", "stop it"),
    "news": ("what is new in {topic}", "read me the news", "what happened in {topic} today", "tell me about {topic}"),
    "shopping": ("put {number} {food} on the list", "we need {food}", "do we have {food}", "order {food} for {time}"),
    "weather": ("will it {fall} {day}", "do i need a coat {day}", "how {warm} is it {day}", "what about {day}"),
}
INTENTS = tuple(TEMPLATES)
CHANNELS = ("typed", "spoken")
MAX_WORDS = 32
_SLOTS = {
    "time": ("six", "seven thirty", "noon", "half past eight", "five in the morning", "midnight", "quarter to nine"),
    "number": ("two", "three", "five", "ten", "fifteen", "twenty", "twenty one", "ninety"),
    "room": ("kitchen", "bedroom", "bathroom", "living room", "hall", "office", "cellar", "attic"),
    "on": ("on", "off", "down", "up", "on again"),
    "level": ("bright", "dark", "louder", "quieter", "softer", "a bit brighter"),
    "warm": ("warm", "warmer", "cold", "cooler", "hot"),
    "person": ("anna", "my mother", "the neighbours", "paul", "doctor weber", "my boss", "the children"),
    "news": (
        "i am late",
        "dinner is ready",
        "the train is stuck",
        "it rains here",
        "we need milk",
        "i am at the office",
    ),
    "genre": ("jazz", "rock", "a piano sonata", "the new record", "something quiet", "old songs", "the radio news"),
    "topic": ("politics", "sports", "science", "the city", "the music world", "football", "the weather"),
    "food": ("milk", "eggs", "bread", "apples", "coffee", "dark chocolate", "butter", "cold drinks"),
    "day": ("today", "tomorrow", "on sunday", "at the weekend", "tonight", "next week"),
    "fall": ("rain", "snow", "storm", "get warmer", "stay dry"),
    "place": ("the office", "the garden", "my mother", "the shops", "the doctor", "school"),
}
_BEFORE = ("please", "hey", "could you", "can you please", "would you be so kind and", "i would like you to", "ok now")
_AFTER = ("please", "thanks", "thank you so much", "if you can", "as soon as possible", "when you have time")
_STORIES = (
    "i just came home from {place} and it was {warm} out there so",
    "you know that {person} comes {day} and i have not done anything yet so before i go to {place}",
    "i have been listening to {person} since {time} and now i need some peace therefore",
    "it is {day} that we go to {place} with {person} and there are {number} things left to do first of all",
)
_FILLERS = ("uh", "um", "well", "like", "you know", "hmm")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Sentence:
    """What was said, what was meant, and how it came in."""

    text: str
    intent: str
    channel: str


def sentences(count: int, seed: int) -> list[Sentence]:
    """As many sentences of at most MAX_WORDS words, no text twice."""
    random = np.random.default_rng(seed)
    made: dict[str, Sentence] = {}
    while len(made) < count:
        sentence = _sentence(random)
        if len(sentence.text.split()) <= MAX_WORDS:
            made.setdefault(sentence.text, sentence)
    return list(made.values())


def _sentence(random: np.random.Generator) -> Sentence:
    intent, channel = _one(INTENTS, random), _one(CHANNELS, random)
    parts = [_one(TEMPLATES[intent], random)]
    if random.random() < 0.4:
        parts.insert(0, _one(_BEFORE, random))
    # Most sentences are short, a few are very long.
    while random.random() < 0.2:
        parts.insert(0, _one(_STORIES, random))
    if random.random() < 0.3:
        parts.append(_one(_AFTER, random))
    words = re.sub(r"{(\w+)}", lambda slot: _one(_SLOTS[slot[1]], random), " ".join(parts)).split()
    spoil = _misspelt if channel == "typed" else _hesitating
    return Sentence(" ".join(spoil(word, random) for word in words), intent, channel)


def _one(choices: tuple[str, ...], random: np.random.Generator) -> str:
    return choices[random.integers(len(choices))]


def _misspelt(word: str, random: np.random.Generator) -> str:
    if random.random() >= 0.08:
        return word
    at = int(random.integers(len(word)))
    return word[:at] + _LETTERS[random.integers(26)] + word[at + 1 :]


def _hesitating(word: str, random: np.random.Generator) -> str:
    return f"{_one(_FILLERS, random)} {word}" if random.random() < 0.08 else word
