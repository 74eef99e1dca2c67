"""Values as they are written in Python."""

import math
import textwrap
from typing import Any, Final

__all__ = ["WIDE", "indented", "literal", "subscript", "wrapped"]

WIDE: Final = 96  # characters of an expression that stands in one line


def literal(value: Any) -> str | None:
    """A number, text, or a collection of them, as it is written; None if it cannot be.

    Examples
    --------
    >>> literal((1, -0.0, float("inf"))), literal(complex(-0.0, 2)), literal(object())
    ('(1, -0.0, np.inf)', 'complex(-0.0, 2.0)', None)
    """
    if value is ...:
        return "..."
    if value is None or type(value) in (bool, int, str, bytes):
        return repr(value)
    if type(value) is float:
        if math.isfinite(value):
            return repr(value)
        return "np.nan" if math.isnan(value) else "np.inf" if value > 0 else "-np.inf"
    if type(value) is complex:
        parts = value.real, value.imag
        if all(math.isfinite(v) and (v or math.copysign(1, v) > 0) for v in parts):
            return repr(value) if value.real else f"({value!r})"
        return f"complex({literal(value.real)}, {literal(value.imag)})"  # a zero has a sign
    if type(value) not in (tuple, list, frozenset, set):
        return None
    texts = [t for v in value if (t := literal(v)) is not None]
    return collected(type(value), texts) if len(texts) == len(value) else None


def collected(kind: type, parts: list[str]) -> str:
    """A collection of texts; of a set in an order that is always the same."""
    if kind is tuple:
        return f"({', '.join(parts)}{',' * (len(parts) == 1)})"
    if kind is list:
        return f"[{', '.join(parts)}]"
    return f"{kind.__name__}([{', '.join(sorted(parts))}])"


def subscript(key: tuple[Any, ...]) -> str:
    """A key of ints, slices, None and ``...`` as it stands in brackets.

    Examples
    --------
    >>> subscript((slice(None), slice(1, None, 2), None, 0)), subscript(())
    (':, 1::2, None, 0', '()')
    """

    def part(k: Any) -> str:
        if not isinstance(k, slice):
            return str(literal(k))
        start, stop, step = ("" if v is None else str(v) for v in (k.start, k.stop, k.step))
        return f"{start}:{stop}:{step}" if step else f"{start}:{stop}"

    return ", ".join(map(part, key)) or "()"


def wrapped(text: str) -> str:
    """An expression in brackets, over several lines if it is long."""
    if len(text) <= WIDE:
        return text
    lines = textwrap.wrap(text[1:-1], WIDE - 4, break_long_words=False, break_on_hyphens=False)
    inner = textwrap.indent("\n".join(lines), "    ")
    return f"{text[0]}\n{inner}\n{text[-1]}"


def indented(head: str, lines: list[str]) -> list[str]:
    """A compound statement: its head and the lines of its body."""
    return [head, *(f"    {line}" if line else "" for line in lines)]
