"""JSON objects of files, one member at a time.

`json.loads` takes up to 24 bytes of memory for a byte of text, and does it before anyone can look
at what it made. Here the text is gone through where it lies in the file: texts are made one at a
time, and of other values only short ones.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from volta.io.reading import add, broken, charge, plain, text_of

__all__ = ["is_object", "members", "texts", "value_of"]

MAX_VALUE: Final = 16_384  # bytes of a value that is no text; a shape of 64 axes has 1,500

# No repetition here can be split in two ways, so none is tried twice.
SPACE: Final = rb"[ \t\n\r]*+"
TEXT: Final = rb'"[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+"'
OPENING: Final = re.compile(SPACE + rb"\{" + SPACE + rb"(\}?)" + SPACE)
NAME: Final = re.compile(b"(" + TEXT + b")" + SPACE + b":" + SPACE)
NEXT: Final = re.compile(SPACE + rb"([,}])" + SPACE)
ATOM: Final = re.compile(TEXT + rb"|[^\"{}\[\],\s]++")
BRACKET: Final = re.compile(rb'[^"{}\[\]]*+(?:' + TEXT + rb'[^"{}\[\]]*+)*+([{}\[\]])')


def members(data: Any, start: int, end: int, what: str) -> Iterator[tuple[str, int, int]]:
    """Name of each member of the object between two places, and where its value lies."""
    opening = OPENING.match(data, start, end)
    if opening is None:
        broken(f"{what} must be an object", plain(bytes(data[start : min(end, start + 100)])))
    place, more = opening.end(), opening.start(1) == opening.end(1)
    while more:
        name = NAME.match(data, place, end)
        stop = _end_of_value(data, name.end(), end) if name else None
        after = NEXT.match(data, stop, end) if stop else None
        if name is None or stop is None or after is None:
            broken(f"{what} must be JSON", f"a broken member at byte {place}")
        yield _text(data, *name.span(1), what), name.end(), stop
        place, more = after.end(), _begins(data, after.start(1), b",")
    if place != end:
        broken(f"{what} must be JSON", f"more after its end at byte {place}")


def is_object(data: Any, start: int) -> bool:
    """Whether the value at a place is an object."""
    return _begins(data, start, b"{")


def value_of(data: Any, start: int, end: int, what: str) -> Any:
    """Value between two places, which is short or a text."""
    if _begins(data, start, b'"'):
        return _text(data, start, end, what)
    if end - start > MAX_VALUE:
        got = f"{end - start} at byte {start}"
        broken(f"a value in {what} must be at most {MAX_VALUE} bytes long", got)
    return _parsed(bytes(data[start:end]), what)


def texts(data: Any, start: int, end: int, what: str) -> dict[str, str]:
    """Texts by name that an object has."""
    items: dict[str, str] = {}
    for name, begin, stop in members(data, start, end, what):
        value = value_of(data, begin, stop, what)
        if not isinstance(value, str):
            broken(f"{what} must be text", f"{plain(str(value))} for {plain(name)}")
        add(items, name, value)
    return items


def _begins(data: Any, start: int, letter: bytes) -> bool:
    # The data may be a map or an array: what they give for a part is not always bytes.
    return bytes(data[start : start + 1]) == letter


def _end_of_value(data: Any, start: int, end: int) -> int | None:
    """Where the value that begins at a place ends, by its brackets; None if it does not."""
    atom = ATOM.match(data, start, end)
    if atom is not None:
        return atom.end()
    depth, place = 0, start
    while bracket := BRACKET.match(data, place, end):
        place = bracket.end()
        depth += 1 if bytes(bracket[1]) in b"{[" else -1
        if depth <= 0:
            return place
    return None


def _text(data: Any, start: int, end: int, what: str) -> str:
    """Text that stands in quotes."""
    charge(2 * (end - start))  # its bytes, and those without the quotes
    quoted = bytes(data[start:end])
    if b"\\" not in quoted:
        return text_of(quoted[1:-1], what)
    text: str = _parsed(quoted, what)
    return text


def _parsed(data: bytes, what: str) -> Any:
    if len(data) > MAX_VALUE:  # a text with escapes
        charge(6 * len(data))
    text = text_of(data, what)
    try:
        value = json.loads(text, object_pairs_hook=_distinct)
        if "\\u" in text:  # JSON can spell surrogates, which are no text
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError as error:
        broken(f"{what} must be UTF-8 text", str(error))
    except (ValueError, RecursionError) as error:
        broken(f"{what} must be JSON", str(error))
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    items: dict[str, Any] = {}
    for name, value in pairs:
        add(items, name, value, memory=0)  # a short value, soon gone
    return items
