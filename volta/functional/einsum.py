"""Einstein's summation: products of arrays whose axes have names."""

import math
import string
from collections.abc import Iterable
from typing import Any, Final

from volta.core.errors import ShapeError
from volta.core.trace import located, ops
from volta.functional.declare import composite
from volta.functional.manipulation import moveaxis, permute_dims, reshape
from volta.functional.products import matmul
from volta.functional.reduction import sum as sum_over

__all__ = ["einsum"]

_UNNAMED: Final = string.punctuation + "0123456789"  # names of the axes that "..." stands for


@composite
def einsum(subscripts: str, /, *operands: Any) -> Any:
    """Sum products of arrays over the axes whose names the result lacks.

    Parameters
    ----------
    subscripts : str
        A letter for each axis, a term for each operand, and the result's term, as in
        ``"ij,jk->ik"``. A letter twice in a term takes the diagonal; ``...`` stands for further
        axes, which broadcast. Without ``->`` the result has the letters that occur once, sorted.
    *operands : array
        Of numeric dtype.

    Returns
    -------
    array

    Raises
    ------
    ShapeError
        If the terms do not fit the operands, or axes of one name differ in length.

    Notes
    -----
    Operands are contracted in pairs from left to right, each by one `matmul`; of many, give those
    first whose product is small.

    Examples
    --------
    >>> F.einsum("ij,kj->ik", np.ones((2, 3)), np.ones((4, 3))).shape
    (2, 4)
    >>> F.einsum("ii", np.eye(3))
    array(3.)
    """
    terms, result = _parsed(subscripts, operands)
    arrays = []
    for i, (names, x) in enumerate(zip(terms, operands, strict=True)):
        elsewhere = set(result).union(*terms[:i], *terms[i + 1 :])
        arrays.append(_without_repeats(names, x, elsewhere))
    names, out = arrays[0]
    for i, (more, x) in enumerate(arrays[1:], 1):
        kept = set(result).union(*terms[i + 1 :])
        names, out = _contracted(names, out, more, x, kept)
    names, out = _summed(names, out, result)
    return permute_dims(out, tuple(names.index(n) for n in result))


def _parsed(subscripts: str, operands: tuple[Any, ...]) -> tuple[list[str], str]:
    """Term of each operand, and the result's, with names for what ``...`` stands for."""
    left, arrow, result = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        msg = (
            "einsum: there must be a term for each operand; got "
            f"{len(terms)} in {subscripts!r} and {len(operands)} operands."
        )
        raise located(ShapeError(msg))
    most = 0
    for i, (term, x) in enumerate(zip(terms, operands, strict=True)):
        letters = term.replace("...", "")
        further = len(x.shape) - len(letters)
        if further < 0 or (further and "..." not in term) or not (letters + "a").isalpha():
            msg = (
                "einsum: each term must have a letter for each axis of its operand; got "
                f"{term!r} and shape {tuple(x.shape)}."
            )
            raise located(ShapeError(msg))
        terms[i] = term.replace("...", _UNNAMED[len(_UNNAMED) - further :])
        most = max(most, further)
    unnamed = _UNNAMED[len(_UNNAMED) - most :]
    everything = "".join(terms)
    if arrow:
        result = result.replace("...", unnamed)
    else:
        once = sorted(n for n in set(everything) if n.isalpha() and everything.count(n) == 1)
        result = unnamed + "".join(once)
    if len(set(result)) < len(result) or not set(result) <= set(everything):
        msg = (
            "einsum: each letter of the result must occur there once and in some term; got "
            f"{subscripts!r}."
        )
        raise located(ShapeError(msg))
    lengths: dict[str, int] = {}
    for term, x in zip(terms, operands, strict=True):
        for name, length in zip(term, x.shape, strict=True):
            known = lengths.setdefault(name, length)
            if known != length and not (name in unnamed and 1 in (known, length)):
                msg = (
                    "einsum: axes of one name must have one length; got "
                    f"{known} and {length} in {subscripts!r}."
                )
                raise located(ShapeError(msg))
    return terms, result


def _without_repeats(names: str, x: Any, elsewhere: Iterable[str]) -> tuple[str, Any]:
    """An operand with each name once, summed over those that occur nowhere else."""
    for name in dict.fromkeys(names):
        while names.count(name) > 1:
            first = names.index(name)
            second = names.index(name, first + 1)
            x = moveaxis(x, (first, second), (0, 1))
            n, rest = x.shape[0], x.shape[2:]
            x = reshape(x, (n * n, *rest))[:: n + 1, ...]
            names = name + names[:first] + names[first + 1 : second] + names[second + 1 :]
    return _summed(names, x, elsewhere)


def _summed(names: str, x: Any, kept: Iterable[str]) -> tuple[str, Any]:
    axes = tuple(i for i, n in enumerate(names) if n not in kept)
    return "".join(n for n in names if n in kept), sum_over(x, axis=axes) if axes else x


def _contracted(first: str, x: Any, second: str, y: Any, kept: Iterable[str]) -> tuple[str, Any]:
    """Product of two operands, summed over the names that neither the rest nor the result has."""
    first, x = _summed(first, x, {*kept, *second})
    second, y = _summed(second, y, {*kept, *first})
    shared = "".join(n for n in first if n in second and n in kept)
    inner = "".join(n for n in first if n in second and n not in kept)
    left = "".join(n for n in first if n not in second)
    right = "".join(n for n in second if n not in first)
    x = permute_dims(x, tuple(first.index(n) for n in shared + left + inner))
    y = permute_dims(y, tuple(second.index(n) for n in shared + inner + right))
    n, m, k = len(shared), len(left), len(inner)
    if not k:
        out = ops.multiply(
            reshape(x, (*x.shape, *(1,) * len(right))),
            reshape(y, (*y.shape[:n], *(1,) * m, *y.shape[n:])),
        )
        return shared + left + right, out
    rows, columns, batch = x.shape[n : n + m], y.shape[n + k :], x.shape[:n]
    summands = math.prod(x.shape[n + m :])
    product = matmul(
        reshape(x, (*batch, math.prod(rows), summands)),
        reshape(y, (*y.shape[:n], summands, math.prod(columns))),
    )
    return shared + left + right, reshape(product, (*product.shape[:n], *rows, *columns))
