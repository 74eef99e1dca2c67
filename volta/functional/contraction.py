"""Einstein's summation: products of arrays whose axes have names.

In reading order: `einsum`; its subscripts, brought to one string a term; the program, which is all
that follows from them and the shapes, and is remembered; the order of contraction.
"""

import functools
import math
import operator
import string
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from volta.core.errors import DTypeError, ShapeError
from volta.core.trace import located, ops
from volta.functional.declare import composite
from volta.functional.manipulation import moveaxis, permute_dims, reshape
from volta.functional.products import matmul
from volta.functional.reduction import sum as sum_over

__all__ = ["einsum"]

_UNNAMED: Final = string.punctuation + "0123456789"  # names of the axes that "..." stands for

Shape = tuple[int, ...]
Step = tuple[Any, ...]  # a function and its arguments after the array


@composite
def einsum(subscripts: Any, /, *operands: Any, optimize: Any = "auto") -> Any:
    """Sum products of arrays over the axes whose names the result lacks.

    Parameters
    ----------
    subscripts : str
        A letter for each axis, a term for each operand, and the result's term, as in
        ``"ij,jk->ik"``. A letter twice in a term takes the diagonal; ``...`` stands for further
        axes, which broadcast. Without ``->`` the result has the letters that occur once, sorted.
    *operands : array
        Of numeric dtype. In the other form, ``einsum(x, [0, 1], y, [1, 2], [0, 2])``, each operand
        is followed by its term, a list of integers and perhaps ``...``; the result's term comes
        last or is left out.
    optimize : str, bool or sequence of tuples
        Order in which three operands or more are contracted: ``"auto"`` or True for a good one,
        ``"optimal"``, ``"greedy"`` or another of opt_einsum's names; False for left to right; or a
        path as opt_einsum and ``numpy.einsum_path`` give it.

    Returns
    -------
    array

    Raises
    ------
    ShapeError
        If the terms do not fit the operands, or axes of one name differ in length; if a path does
        not contract the operands into one.
    DTypeError
        If an operand is no array, or `subscripts` has neither form.

    Notes
    -----
    Operands are contracted in pairs, each by one `matmul`. Good is what needs few multiplications;
    ``"auto"`` finds the best order of up to four operands.

    References
    ----------
    D. G. A. Smith and J. Gray, "opt_einsum – A Python package for optimizing contraction order for
    einsum-like expressions", Journal of Open Source Software 3(26), 2018,
    https://doi.org/10.21105/joss.00753.

    Examples
    --------
    >>> F.einsum("ij,kj->ik", np.ones((2, 3)), np.ones((4, 3))).shape
    (2, 4)
    >>> F.einsum("ii", np.eye(3))
    array(3.)
    >>> F.einsum(np.ones((2, 3)), [0, 1], np.ones((4, 3)), [2, 1], [0, 2]).shape
    (2, 4)
    """
    labels: tuple[Any, ...] = ()
    if type(subscripts) is not str:
        subscripts, operands, labels = _interleaved((subscripts, *operands))
    if type(optimize) is not str:
        optimize = _hashable(optimize)
    try:
        shapes = tuple([tuple(x.shape) for x in operands])
    except AttributeError:
        raise _no_array(operands) from None
    alone, pairs, last = _program(subscripts, shapes, optimize, labels)
    arrays = list(operands)
    if alone:
        arrays = [_after(s, x) for s, x in zip(alone, operands, strict=True)]
    for i, j, left, right, product, steps in pairs:
        y = arrays.pop(j)
        x = arrays.pop(i)
        out = product(_after(left, x) if left else x, _after(right, y) if right else y)
        arrays.append(_after(steps, out) if steps else out)
    return _after(last, arrays[0]) if last else arrays[0]


def _after(steps: list[Step], x: Any) -> Any:
    for function, *arguments in steps:
        x = function(x, *arguments)
    return x


# Subscripts ---------------------------------------------------------------------------------------


def _no_array(operands: tuple[Any, ...]) -> Exception:
    kinds = ", ".join(type(x).__name__ for x in operands)
    return located(DTypeError(f"einsum: operands must be arrays; got {kinds}."))


def _interleaved(given: tuple[Any, ...]) -> tuple[str, tuple[Any, ...], tuple[Any, ...]]:
    """Subscripts with letters for the integers in them, the operands, and the integers sorted."""
    pairs, result = (given, None) if len(given) % 2 == 0 else (given[:-1], given[-1])
    operands, terms = pairs[::2], pairs[1::2]
    written = [*terms] if result is None else [*terms, result]
    if not terms or not all(isinstance(t, list | tuple) for t in written):
        kinds = ", ".join(type(x).__name__ for x in given)
        msg = (
            "einsum: subscripts must be a string before the operands, or a list of integers after "
            f"each of them; got {kinds}."
        )
        raise located(DTypeError(msg))
    numbered = [[n if n is ... else _label(n) for n in term] for term in written]
    labels = sorted({n for term in numbered for n in term if n is not ...})
    letters = {n: _letter(i) for i, n in enumerate(labels)} | {...: "..."}
    strings = ["".join(letters[n] for n in term) for term in numbered]
    arrow = "" if result is None else "->" + strings.pop()
    return ",".join(strings) + arrow, operands, tuple(labels)


def _label(n: Any) -> int:
    try:
        return operator.index(n)
    except TypeError:
        msg = f"einsum: the name of an axis must be an integer or ...; got {n!r}."
        raise located(DTypeError(msg)) from None


def _letter(i: int) -> str:
    return chr(0x4E00 + i)  # of which there are twenty thousand in order


def _written(term: str, labels: tuple[Any, ...]) -> str:
    """A term, or all subscripts, as the user wrote them, for messages."""
    if not labels:
        return repr(term)
    if "," in term or "->" in term:
        left, arrow, result = term.partition("->")
        parts = ", ".join(_written(t, labels) for t in left.split(","))
        return f"{parts} -> {_written(result, labels)}" if arrow else parts
    names = [n if n == "..." else str(labels[ord(n) - ord(_letter(0))]) for n in _names(term)]
    return f"[{', '.join(names)}]"


def _names(term: str) -> list[str]:
    before, dots, after = term.partition("...")
    return [*before, *([dots] if dots else []), *after]


def _well_formed(term: str) -> bool:
    """Whether a term holds letters, and ``...`` once at most."""
    return (term.replace("...", "", 1) + "a").isalpha()


def _parsed(
    subscripts: str, shapes: tuple[Shape, ...], labels: tuple[Any, ...]
) -> tuple[list[str], str, dict[str, int]]:
    """Term of each operand, the result's, with names for what ``...`` stands for; all lengths."""
    left, arrow, result = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        msg = (
            "einsum: there must be a term for each operand; got "
            f"{len(terms)} in {_written(subscripts, labels)} and {len(shapes)} operands."
        )
        raise located(ShapeError(msg))
    most = 0
    for i, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
        further = len(shape) - len(term.replace("...", ""))
        if further < 0 or (further and "..." not in term) or not _well_formed(term):
            msg = (
                "einsum: each term must have a letter for each axis of its operand; got "
                f"{_written(term, labels)} and shape {shape}."
            )
            raise located(ShapeError(msg))
        terms[i] = term.replace("...", _UNNAMED[len(_UNNAMED) - further :])
        most = max(most, further)
    unnamed = _UNNAMED[len(_UNNAMED) - most :]
    everything = "".join(terms)
    well_formed = _well_formed(result)
    if arrow:
        result = result.replace("...", unnamed)
    else:
        once = sorted(n for n in set(everything) if n.isalpha() and everything.count(n) == 1)
        result = unnamed + "".join(once)
    if not well_formed or len(set(result)) < len(result) or not set(result) <= {*everything}:
        msg = (
            "einsum: each letter of the result must occur there once and in some term; got "
            f"{_written(subscripts, labels)}."
        )
        raise located(ShapeError(msg))
    lengths: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for name, length in zip(term, shape, strict=True):
            known = lengths.setdefault(name, length)
            if known != length and not (name in unnamed and 1 in (known, length)):
                msg = (
                    "einsum: axes of one name must have one length; got "
                    f"{known} and {length} in {_written(subscripts, labels)}. Check the operands' "
                    "shapes, or name the axes differently."
                )
                raise located(ShapeError(msg))
            if known == 1:
                lengths[name] = length
    return terms, result, lengths


# The program --------------------------------------------------------------------------------------


class _Program(NamedTuple):
    """What to do with the operands: each alone, then in pairs, then with what is left."""

    alone: list[list[Step]]
    pairs: list[tuple[int, int, list[Step], list[Step], Callable[..., Any], list[Step]]]
    last: list[Step]


class _Operand(NamedTuple):
    names: str
    shape: Shape
    steps: list[Step]


@functools.lru_cache(maxsize=1024)
def _program(
    subscripts: str, shapes: tuple[Shape, ...], optimize: Any, labels: tuple[Any, ...]
) -> _Program:
    terms, result, lengths = _parsed(subscripts, shapes, labels)
    held: list[_Operand] = []
    for i, (names, shape) in enumerate(zip(terms, shapes, strict=True)):
        elsewhere = {*result}.union(*terms[:i], *terms[i + 1 :])
        held.append(_summed(_without_repeats(_Operand(names, shape, [])), elsewhere))
    alone = [x.steps for x in held]
    held = [x._replace(steps=[]) for x in held]
    pairs = []
    for i, j in _path([x.names for x in held], result, lengths, optimize):
        y = held.pop(j)
        x = held.pop(i)
        kept = {*result}.union(*(other.names for other in held))
        left, right, product, out = _contracted(x, y, kept)
        pairs.append((i, j, left, right, product, out.steps))
        held.append(out._replace(steps=[]))
    last = _summed(held[0], result)
    return _Program(alone if any(alone) else [], pairs, _arranged(last, result).steps)


def _without_repeats(x: _Operand) -> _Operand:
    """An operand with each name once, of those that occur in it more often the diagonal."""
    names, shape, steps = x
    for name in dict.fromkeys(names):
        while names.count(name) > 1:
            first = names.index(name)
            second = names.index(name, first + 1)
            rest = [n for i, n in enumerate(shape) if i not in (first, second)]
            steps.append((_diagonal, first, second))
            names = name + names[:first] + names[first + 1 : second] + names[second + 1 :]
            shape = (shape[first], *rest)
    return _Operand(names, shape, steps)


def _diagonal(x: Any, first: int, second: int) -> Any:
    x = moveaxis(x, (first, second), (0, 1))
    n, rest = x.shape[0], x.shape[2:]
    return reshape(x, (n * n, *rest))[:: n + 1, ...]


def _summed(x: _Operand, kept: Iterable[str]) -> _Operand:
    axes = tuple(i for i, n in enumerate(x.names) if n not in kept)
    if not axes:
        return x
    names = "".join(n for n in x.names if n in kept)
    shape = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    return _Operand(names, shape, [*x.steps, (_sum_over, axes)])


def _sum_over(x: Any, axes: tuple[int, ...]) -> Any:
    return sum_over(x, axis=axes)


def _arranged(x: _Operand, names: str) -> _Operand:
    """The operand with its axes in the order of `names`."""
    if x.names == names:
        return x
    axes = tuple(x.names.index(n) for n in names)
    shape = tuple(x.shape[i] for i in axes)
    return _Operand(names, shape, [*x.steps, (permute_dims, axes)])


def _reshaped(x: _Operand, shape: Shape) -> _Operand:
    return x if x.shape == shape else x._replace(shape=shape, steps=[*x.steps, (reshape, shape)])


def _contracted(
    x: _Operand, y: _Operand, kept: Iterable[str]
) -> tuple[list[Step], list[Step], Callable[..., Any], _Operand]:
    """Product of two operands, summed over the names that neither the rest nor the result has.

    Steps for either, what makes one of them, and the result with its steps.
    """
    x = _summed(x, {*kept, *y.names} - _stretched(x, y, kept))
    y = _summed(y, {*kept, *x.names} - _stretched(y, x, kept))
    shared = "".join(n for n in x.names if n in y.names and n in kept)
    inner = "".join(n for n in x.names if n in y.names and n not in kept)
    left = "".join(n for n in x.names if n not in y.names)
    right = "".join(n for n in y.names if n not in x.names)
    x = _arranged(x, shared + left + inner)
    y = _arranged(y, shared + inner + right)
    n, m, k = len(shared), len(left), len(inner)
    batch = tuple(b if a == 1 else a for a, b in zip(x.shape[:n], y.shape[:n], strict=True))
    rows, columns = x.shape[n : n + m], y.shape[n + k :]
    out = _Operand(shared + left + right, (*batch, *rows, *columns), [])
    if not k:
        x = _reshaped(x, (*x.shape, *(1,) * len(right)))
        y = _reshaped(y, (*y.shape[:n], *(1,) * m, *columns))
        return x.steps, y.steps, ops.multiply, out
    summands = math.prod(x.shape[n + m :])
    row = (math.prod(rows),) if left or shared else ()  # matmul takes vectors where all is one
    column = (math.prod(columns),) if right or shared else ()
    x = _reshaped(x, (*x.shape[:n], *row, summands))
    y = _reshaped(y, (*y.shape[:n], summands, *column))
    product = _reshaped(_Operand(out.names, (*batch, *row, *column), []), out.shape)
    return x.steps, y.steps, matmul, product


def _stretched(x: _Operand, y: _Operand, kept: Iterable[str]) -> set[str]:
    """Names to sum over, with length 1 in `x` alone: those of ``...`` that the result lacks."""
    others = dict(zip(y.names, y.shape, strict=True))
    pairs = zip(x.names, x.shape, strict=True)
    return {n for n, length in pairs if n not in kept and 1 == length != others.get(n, 1)}


# The order ----------------------------------------------------------------------------------------


def _hashable(optimize: Any) -> Any:
    """`optimize`, a sequence in it as a tuple."""
    if isinstance(optimize, bool):
        return "auto" if optimize else False
    try:
        steps = [p for p in optimize if not isinstance(p, str) or p != "einsum_path"]  # NumPy's
        return tuple(tuple(operator.index(i) for i in step) for step in steps)
    except TypeError:
        raise _no_order(optimize) from None


def _no_order(optimize: Any) -> Exception:
    msg = (
        "einsum: optimize must be True, False, one of opt_einsum's names such as 'auto' and "
        f"'optimal', or a path such as [(0, 1), (0, 1)]; got {optimize!r}."
    )
    return located(DTypeError(msg))


def _path(
    terms: list[str], result: str, lengths: dict[str, int], optimize: Any
) -> list[tuple[int, int]]:
    """Places of the two operands of each step; its result comes last."""
    count = len(terms)
    if optimize is False or (count < 3 and type(optimize) is str):
        return _pairs([(*range(count),)], count)
    if type(optimize) is not str:
        return _pairs(optimize, count)
    # here, because few programs need it
    from opt_einsum.paths import get_path_fn  # type: ignore[import-untyped]  # it has no types

    try:
        find: Any = get_path_fn(optimize)
    except KeyError:
        raise _no_order(optimize) from None
    return _pairs(find([frozenset(t) for t in terms], frozenset(result), lengths), count)


def _pairs(path: Iterable[Sequence[int]], count: int) -> list[tuple[int, int]]:
    """Steps of two operands in place of steps of any number."""
    path, operands = list(path), count
    pairs = []
    for step in path:
        places = sorted({p for p in step if 0 <= p < count})
        if len(places) < max(len(step), min(count, 2)):
            count = 0
            break
        for n, place in enumerate(places[1:]):
            # the first two leave the list, and what they make lies last in it
            pairs.append((place - n - 1, count - 1) if n else (places[0], place))
            count -= 1
    if count != 1:
        msg = (
            "einsum: each step of a path must name operands that are left, and the last must "
            f"leave one; got {path} for {operands} operands."
        )
        raise located(ShapeError(msg))
    return pairs
