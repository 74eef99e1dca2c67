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
from volta.core.trace import Running, Trace, located
from volta.core.tracer import Tracer, constant, meeting_place, settled
from volta.core.types import as_dtype, typeof
from volta.sparse.programs import host, propagate, through
from volta.sparse.rules import Operation
from volta.sparse.sets import IndexSets, scipy_sparse
from volta.transforms.arguments import as_array, name_of
from volta.transforms.trace import trace
from volta.transforms.vjp import _frozen

__all__ = ["find_pattern", "one_array", "pattern"]


@suggesting
def pattern(fun: Callable[..., Any], *, local: bool = False) -> Callable[..., Any]:
    """Return a function that finds where the Jacobian of `fun` can be nonzero.

    Parameters
    ----------
    fun : callable
        Function of one array, returning one array.
    local : bool
        Whether the pattern is to hold at the given point only, and not at every point. It is then
        smaller where branches are chosen (`where`, `maximum`, `relu`), and `fun` may
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
    - checkpoints, branches and loops (`cond`, `scan`, `while_loop`) are followed inside: every
      branch where the choice depends on the input, long loops until nothing is added;
    - what is not known to the rules, functions with derivatives of their own, and indices that
      depend on the input, join everything.

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
        raise located(TypeError(msg))
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
        raise located(TypeError(msg))
    _check_real(leaves[0], where, "result")
    return leaves[0]


# At every point: from the staged program ---------------------------------------------------------


def _anywhere(fun: Callable[..., Any], x: Any, where: str) -> tuple[IndexSets | None, int]:
    def checked(x: Any) -> Any:
        return _one_result(fun(x), where)

    checked.__name__ = name_of(fun)
    listed = trace(checked)(x)
    (output,) = listed.outputs
    found = through(listed, [IndexSets.of_input(tuple(x.shape))], [None])
    return found[0], prod(listed.types[output].shape)


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
