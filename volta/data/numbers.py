"""Integers: arguments checked, and orders at random that depend on their seed alone."""

import operator
from typing import Any

import numpy as np

from volta.core.errors import DimensionError, DTypeError

__all__ = ["at_least", "checked_indices", "permutation", "plain", "random_bits"]


def random_bits(n: int, *seed: int) -> Any:
    """`n` random numbers of 64 bits, the same in every version of NumPy."""
    return np.random.Philox(np.random.SeedSequence(seed)).random_raw(n)


def permutation(n: int, *seed: int) -> Any:
    """Order the numbers below `n` at random, as a function of `seed` alone."""
    return np.argsort(random_bits(n, *seed), kind="stable")


def at_least(limit: int, value: Any, what: str) -> int:
    """Return `value` as an int, or say that `what` must be one of at least `limit`."""
    number = plain(value)
    if not isinstance(number, int) or number < limit:
        msg = f"{what} must be an integer of at least {limit}; got {value!r}."
        raise ValueError(msg)
    return number


def plain(value: Any) -> Any:
    """`value` as an int where it is one (NumPy's, a 0-d array), else as it is."""
    try:
        return operator.index(value)
    except TypeError:
        return value


def checked_indices(indices: Any, n: int, what: str) -> Any:
    """Return `indices` as a NumPy array of integers below `n`, or say that `what` must be such."""
    array = np.asarray(indices)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        msg = f"{what} must be a sequence of integers; got {array.dtype} of shape {array.shape}."
        raise DTypeError(msg)
    outside = array[(array < 0) | (array >= n)]
    if outside.size:
        msg = f"{what} must be from 0 to {n - 1}; got {outside[0]}."
        raise DimensionError(msg)
    return array.astype(np.int64, copy=False)
