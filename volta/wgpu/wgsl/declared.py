"""How functions of the prelude are declared: their WGSL text, and polynomials."""

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

__all__ = ["Function", "functions", "polynomial"]

_NAMES: Final = re.compile(r"\bv_\w+")
_BLOCKS: Final = re.compile(r"^fn (v_\w+)\(.*?^}$", re.DOTALL | re.MULTILINE)


class Function(NamedTuple):
    """A WGSL function.

    Attributes
    ----------
    name : str
        With the prefix ``v_``, as no function of WGSL begins.
    text : str
    calls : tuple of str
        What else of the prelude the text names.
    """

    name: str
    text: str
    calls: tuple[str, ...]


def functions(text: str) -> Iterable[Function]:
    """Functions of a WGSL text, each of which ends with a brace at the beginning of a line."""
    for found in _BLOCKS.finditer(text):
        yield _function(found[1], found[0])


def polynomial(name: str, coefficients: Sequence[float]) -> Function:
    """A polynomial as a function; the first coefficient is the constant."""
    value = repr(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        value = f"{c!r} + x * ({value})"
    return _function(name, f"fn {name}(x: f32) -> f32 {{\n  return {value};\n}}")


def _function(name: str, text: str) -> Function:
    calls = dict.fromkeys(_NAMES.findall(text))
    return Function(name, text, tuple(call for call in calls if call != name))
