"""The text that the language models of the examples learn, and how it becomes numbers."""

import numpy as np

TEXT = """a stitch in time saves nine
all that glitters is not gold
a watched pot never boils
better late than never
every cloud has a silver lining
the early bird catches the worm
two heads are better than one
where there is smoke there is fire
"""
LETTERS = sorted(set(TEXT))
PROVERBS = set(TEXT.split("\n"))


def encode(text):
    """Numbers of the letters of a text."""
    return np.asarray([LETTERS.index(letter) for letter in text])


def decode(numbers):
    return "".join(LETTERS[int(n)] for n in numbers)


def windows(length):
    """Every part of the text of that length, which goes round, and the letters that follow."""
    numbers = encode(TEXT)
    starts = np.arange(len(numbers))[:, None]
    places = (starts + np.arange(length + 1)) % len(numbers)
    parts = numbers[places]
    return parts[:, :-1], parts[:, 1:]


def known_lines(text):
    """How many whole lines of a text are proverbs, and how many there are."""
    lines = text.split("\n")[1:-1]  # the first and the last may be parts
    return sum(line in PROVERBS for line in lines), len(lines)
