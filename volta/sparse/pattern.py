"""Sparsity patterns of Jacobians, from the operations of a program: `pattern`."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from volta.core import tree
from volta.core.dispatch import library_of
from volta.core.errors import DTypeError
from volta.core.keywords import suggesting
from volta.core.primitive import Primitive
from volta.core.trace import Running, Trace
from volta.core.tracer import Tracer, concrete, constant, meeting_place, settled
from volta.core.types import SCALARS, as_dtype, typeof
from volta.core.wengert import Entry, Literal, WengertList
from volta.functional import to_device
from volta.sparse.sets import IndexSets, Operation, propagate, scipy_sparse
from volta.transforms.arguments import as_array, name_of
from volta.transforms.trace import trace
from volta.transforms.vjp import _frozen

__all__ = ["find_pattern", "host", "one_array", "pattern"]


@suggesting
def pattern(fun: Callable[..., Any], *, local: bool = False) -> Callable[..., Any]:
    """Return a function that finds where the Jacobian of `fun` can be nonzero.

    Parameters
    ----------
    fun : callable
        Function of one array, returning one array.
    local : bool
        Whether the pattern is to hold at the given point only, and not at every point. It is then
        smaller where branches are chosen (`where`, `maximum`, `relu`, sorting), and `fun` may
        branch on values.

    Returns
    -------
    callable
        From an array of n elements to a ``scipy.sparse.csr_array`` of bool, shape (m, n), where m
        is the number of elements that `fun` returns.

    Raises
    ------
    ImportError
        If SciPy is not installed.
    DTypeError
        If the input or the result is not real floating.
    TypeError
        If there is not one array in and one array out.
    TraceError
        If `fun` asks for a concrete value and the pattern is not local.

    Notes
    -----
    Each operation of the program tells which inputs an element of its result may depend on. What
    is False is zero; what is True may be zero. In particular

    - elementwise operations, and those that move elements (reshape, transpose, slices, gather and
      scatter at indices known beforehand, concat, pad, roll), are exact;
    - reductions, softmax, sorting and Fourier transforms join all of an axis; cumulative operations
      what comes before, and all of an axis longer than 1024;
    - a matrix product joins rows with columns, but with a matrix that does not depend on the input
      only what its numbers let through, and so do multiplication by zeros and short convolutions;
    - functions of matrices (solve, inv, eigh, …) join all of each matrix;
    - what is not known to the rules, and indices that depend on the input, join everything.

    A product of terms that cancel, ``x − x``, is not seen to be zero.

    Examples
    --------
    >>> def differences(x):
    ...     return x[1:] - x[:-1]
    >>> volta.sparse.pattern(differences)(np.zeros(4)).toarray().astype(int)
    array([[1, 1, 0, 0],
           [0, 1, 1, 0],
           [0, 0, 1, 1]])
    """

    def found(x: Any) -> Any:
        return find_pattern(fun, x, local, "pattern")

    return found


def one_array(x: Any, where: str) -> Any:
    """The input as an array, checked to be one, real and floating."""
    if len(leaves := tree.leaves(x)) != 1 or leaves[0] is not x:
        msg = f"{where}: takes one array; got {type(x).__name__}. Concatenate the arrays of a tree."
        raise TypeError(msg)
    x = as_array(x, where)
    _check_real(x, where, "input")
    return x


def _check_real(x: Any, where: str, what: str) -> None:
    dtype = as_dtype(x.dtype)
    if dtype.kind != "float":
        msg = f"{where}: the {what} must be real floating; got {dtype.name}."
        raise DTypeError(msg)


def find_pattern(fun: Callable[..., Any], x: Any, local: bool, transform: str) -> Any:
    """Pattern of the Jacobian of `fun` at `x`, as a csr_array of bool."""
    where = f"{transform}({name_of(fun)})"
    scipy_sparse()
    x = one_array(x, where)
    found, size = (_at_point if local else _anywhere)(fun, x, where)
    if found is None:
        return scipy_sparse().csr_array((size, prod(x.shape)), dtype=bool)
    return found.matrix()


def _one_result(result: Any, where: str) -> Any:
    """What the function returned, checked to be one real array."""
    if len(leaves := tree.leaves(result)) != 1 or not hasattr(leaves[0], "dtype"):
        msg = f"{where}: the function must return one array; got {type(result).__name__}."
        raise TypeError(msg)
    _check_real(leaves[0], where, "result")
    return leaves[0]


def host(x: Any) -> Any:
    """NumPy array of the numbers in an array or scalar; None for a traced one."""
    if type(x) in SCALARS:
        return np.asarray(x)
    if type(x) is Tracer:
        return host(concrete(x, "sparse")) if x.trace is None else None
    return x if isinstance(x, np.ndarray) else np.asarray(to_device(x, xp=np))


# At every point: from the staged program ---------------------------------------------------------


def _anywhere(fun: Callable[..., Any], x: Any, where: str) -> tuple[IndexSets | None, int]:
    def checked(x: Any) -> Any:
        return _one_result(fun(x), where)

    checked.__name__ = name_of(fun)
    listed = trace(checked)(x)
    (output,) = listed.outputs
    known = _Known(listed)
    sets: dict[int, IndexSets] = {listed.inputs[0]: IndexSets.of_input(tuple(x.shape))}
    for e in listed.entries:
        op = Operation(
            e.primitive,
            e.params,
            [None if type(o) is Literal else sets.get(o) for o in e.operands],
            lambda i, e=e: known.operand(e.operands[i]),  # type: ignore[misc]  # mypy 4226
            lambda e=e: known.operand(e.results[0]),  # type: ignore[misc]  # mypy 4226
            [typeof(o.value) if type(o) is Literal else listed.types[o] for o in e.operands],
            [listed.types[r] for r in e.results],
        )
        for r, s in zip(e.results, propagate(op), strict=True):
            if s is not None:
                sets[r] = s
    return sets.get(output), prod(listed.types[output].shape)


class _Known:
    """Values that do not depend on the input, computed when asked for."""

    def __init__(self, listed: WengertList) -> None:
        self.values: dict[int, Any] = dict(zip(listed.captured, listed.constants, strict=True))
        self.makers: dict[int, Entry] = {}
        for e in listed.entries:
            if all(type(o) is Literal or o in self.values or o in self.makers for o in e.operands):
                self.makers.update(dict.fromkeys(e.results, e))

    def operand(self, o: Any) -> Any:
        """NumPy array of an operand, or None."""
        if type(o) is Literal:
            return np.asarray(o.value)
        value = self._value(o)
        return None if value is None else host(value)

    def _value(self, var: int) -> Any:
        todo = [var]
        while todo:  # a loop, not a recursion: lists are long
            last = todo[-1]
            if last in self.values:
                todo.pop()
                continue
            if last not in self.makers:
                return None
            e = self.makers[last]
            missing = [o for o in e.operands if type(o) is not Literal and o not in self.values]
            if missing:
                todo += missing
                continue
            operands = [o.value if type(o) is Literal else self.values[o] for o in e.operands]
            out = e.primitive(*operands, **e.params)
            outs = (out,) if e.primitive.results == 1 else out
            self.values.update(zip(e.results, outs, strict=True))
        return self.values[var]


# At one point: beside its values -----------------------------------------------------------------


class SetTrace(Trace):
    """Carries index sets beside each value; a tracer's var is its sets."""

    __slots__ = ()

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Run the operation on the values, and find the sets of what it gave."""
        meeting_place(args, primitive.name)
        values, sets = [], []
        for a in args:
            mine = type(a) is Tracer and a.trace is self
            sets.append(a.var if mine else None)
            if type(a) is Tracer:
                a = a.value if mine or a.trace is None else _frozen(a)
            values.append(a)
        out = primitive(*values, **params)
        outs = (out,) if primitive.results == 1 else tuple(out)
        op = Operation(
            primitive,
            params,
            sets,
            lambda i: host(values[i]),
            lambda: host(outs[0]),
            [typeof(v) for v in values],
            [typeof(o) for o in outs],
        )
        found = propagate(op)
        wrapped = tuple(
            constant(o) if s is None else Tracer(self, s, o)
            for o, s in zip(outs, found, strict=True)
        )
        return wrapped[0] if primitive.results == 1 else wrapped


def _at_point(fun: Callable[..., Any], x: Any, where: str) -> tuple[IndexSets | None, int]:
    library_of(x, where)
    below = SetTrace("pattern", fun)
    with Running(below), np.errstate(all="ignore"):
        result = settled(fun(Tracer(below, IndexSets.of_input(tuple(x.shape)), x)))
    out = _one_result(result, where)
    mine = type(out) is Tracer and out.trace is below
    return (out.var if mine else None), prod(out.shape)
