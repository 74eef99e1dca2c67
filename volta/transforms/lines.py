"""The user's lines and names, for what shows them: `draw`, `explain` and `forecast`."""

import inspect
import linecache
import os
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any, NamedTuple

from volta.core import tree
from volta.core.source import line_number

__all__ = ["Line", "argument_names", "line_of", "quantity", "table"]


class Line(NamedTuple):
    """A line of the user's code: file, number (0 where unknown) and text."""

    file: str
    number: int
    text: str

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.number}" if self.number else "?"


def line_of(code: CodeType | None, offset: int) -> Line:
    """Line of a code object and an instruction offset."""
    if code is None:
        return Line("?", 0, "")
    number = line_number(code, offset) or 0
    return Line(code.co_filename, number, linecache.getline(code.co_filename, number).strip())


def argument_names(fun: Callable[..., Any], spec: tree.PyTreeSpec) -> list[str]:
    """Names of the leaves of a pair (args, kwargs) in the words of `fun`: ``params['w']``."""
    try:
        signature = inspect.signature(fun).parameters.values()
    except (TypeError, ValueError):  # a callable of another language
        signature = {}.values()
    words = [p.name for p in signature if p.kind <= p.POSITIONAL_OR_KEYWORD]
    found = []
    for in_kwargs, place, *rest in spec.paths():
        named = in_kwargs or place >= len(words)
        word = (str(place) if in_kwargs else f"args[{place}]") if named else words[place]
        found.append(word + tree.keystr(tuple(rest)))
    return found


def quantity(number: float, unit: str = "") -> str:
    """Number with a prefix of its unit: ``1.23 MB``."""
    for prefix in ("", "k", "M", "G", "T", "P"):
        if abs(number) < 999.5 or prefix == "P":
            break
        number /= 1000
    text = f"{number:.3g}" if prefix else f"{number:g}"
    return f"{text} {prefix}{unit}".rstrip()


def table(rows: Sequence[Sequence[Any]], right: Sequence[int] = ()) -> list[str]:
    """Lines of a table, columns two spaces apart; those in `right` flush right."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return [
        "  ".join(
            cell.rjust(w) if i in right else cell.ljust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in texts
    ]
