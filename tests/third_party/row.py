"""What a row is: an untouched call of someone else's public function."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Row:
    """A call, and the arrays it is differentiated with respect to.

    Attributes
    ----------
    function : str
        Full name of the public function.
    call : function
        Of `args`; returns arrays, or a tuple or list of them.
    args : tuple of arrays
    fixed : tuple of int
        Places of those that are constants; integers are anyway.
    variant : str
        What tells rows of one function apart.
    tolerance : float
        Largest error, relative to the largest derivative.
    """

    function: str
    call: Callable[..., Any]
    args: tuple[np.ndarray, ...]
    fixed: tuple[int, ...] = ()
    variant: str = ""
    tolerance: float = 1e-6

    @property
    def name(self) -> str:
        return f"{self.function}-{self.variant}" if self.variant else self.function


def draws(seed):
    """Functions that draw normal, uniform and complex numbers: the same ones in every run."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return np.asarray(rng.normal(size=shape))

    def uniform(*shape, low=0.2, high=0.9):
        return np.asarray(rng.uniform(low, high, shape))

    def complex_normal(*shape):
        return normal(*shape) + 1j * normal(*shape)

    return normal, uniform, complex_normal


def space(x):
    """Namespace of the array that a library hands to a function of the user's."""
    from array_api_compat import array_namespace

    return array_namespace(x)
