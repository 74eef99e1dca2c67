"""Axes of several arrays that are gone over together, as few as there can be."""

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

__all__ = ["Axes"]


class Axes(NamedTuple):
    """Axes that are gone over together, the last of them innermost.

    Attributes
    ----------
    name : str
        What parameters of their lengths begin with.
    sizes : tuple of int
    strides : list of tuple of int
        Of each array, along them.
    """

    name: str
    sizes: tuple[int, ...]
    strides: list[tuple[int, ...]]

    @classmethod
    def of(cls, name: str, shape: Sequence[int], strides: Sequence[Sequence[int]]) -> Self:
        """Axes of a shape; those that all arrays have side by side are one."""
        sizes: list[int] = []
        found: list[list[int]] = [[] for _ in strides]
        for a, n in enumerate(shape):
            if n == 1:
                continue
            own = [s[a] for s in strides]
            if sizes and all(f[-1] == s * n for f, s in zip(found, own, strict=True)):
                sizes[-1] *= n
                for f, s in zip(found, own, strict=True):
                    f[-1] = s
            else:
                sizes.append(n)
                for f, s in zip(found, own, strict=True):
                    f.append(s)
        return cls(name, tuple(sizes), [tuple(f) for f in found])

    def only(self, name: str, chosen: Sequence[int]) -> Self:
        """Some of them."""
        strides = [tuple(s[a] for a in chosen) for s in self.strides]
        return self._replace(name=name, sizes=tuple(self.sizes[a] for a in chosen), strides=strides)

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.sizes)

    def params(self) -> dict[str, int]:
        """Their lengths but the first, which nothing is divided by."""
        return {f"{self.name}{a}": n for a, n in enumerate(self.sizes) if a}

    def coordinates(self, number: str) -> list[str]:
        """Statements that compute `name`'s coordinates from the number of an element."""
        lines, left = [], number
        for a in range(len(self.sizes) - 1, 0, -1):
            lines.append(f"let {self.name}c{a} = {left} % p.{self.name}{a};")
            lines.append(f"let {self.name}q{a} = {left} / p.{self.name}{a};")
            left = f"{self.name}q{a}"
        return [*lines, *([f"let {self.name}c0 = {left};"] if self.sizes else [])]

    def terms(self, array: int, label: str) -> tuple[list[str], dict[str, int]]:
        """Terms of the place of an element of an array, and the parameters that they name."""
        terms, params = [], {}
        for a, stride in enumerate(self.strides[array]):
            if stride == 1:
                terms.append(f"{self.name}c{a}")
            elif stride:
                params[f"{label}_{self.name}{a}"] = stride
                terms.append(f"{self.name}c{a} * p.{label}_{self.name}{a}")
        return terms, params
